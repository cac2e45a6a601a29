//! GCBench with `Box`: each tree is freed, node by node, when it goes out of scope.

use super::{check, element, Program, ARRAY_LEN, NODE_BYTES};
use crate::measure::{measure, Measured};

#[derive(Default)]
struct Node {
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
    _payload: [u32; 2],
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let (checksum, timing) = measure(program.node_count(), || {
        let mut sum = bottom_up(program.stretch_depth()).branch();
        let long_lived = top_down(program.depth_max);
        let array: Box<[f64]> = (0..ARRAY_LEN).map(element).collect();
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += top_down(depth).branch();
            }
            for _ in 0..tree_count {
                sum += bottom_up(depth).branch();
            }
        }
        sum + long_lived.node_count() + check(&array)
    });
    timing.with_checksum(checksum)
}

fn bottom_up(depth: u64) -> Box<Node> {
    let mut node = Box::<Node>::default();
    if depth > 0 {
        (node.left, node.right) = (Some(bottom_up(depth - 1)), Some(bottom_up(depth - 1)));
    }
    node
}

fn top_down(depth: u64) -> Box<Node> {
    let mut root = Box::default();
    populate(&mut root, depth);
    root
}

fn populate(parent: &mut Node, depth: u64) {
    if depth > 0 {
        let left = parent.left.insert(Box::default());
        let right = parent.right.insert(Box::default());
        populate(left, depth - 1);
        populate(right, depth - 1);
    }
}

impl Node {
    fn branch(&self) -> u64 {
        std::iter::successors(Some(self), |node| node.left.as_deref()).count() as u64
    }

    fn node_count(&self) -> u64 {
        let children = [&self.left, &self.right];
        1 + children.into_iter().flatten().map(|child| child.node_count()).sum::<u64>()
    }
}
