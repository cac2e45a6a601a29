//! GCBench in dumpster: counted, and freed at zero; there are no cycles to look for.

use std::cell::OnceCell;

use dumpster::unsync::Gc;
use dumpster::Trace;

use super::{check, element, Program, ARRAY_LEN, NODE_BYTES};
use crate::measure::{measure, Measured};

/// A reference may be dead and has no niche, so this is more than the 24 bytes of the others.
#[derive(Default, Trace)]
struct Node {
    left: OnceCell<Gc<Node>>,
    right: OnceCell<Gc<Node>>,
    _payload: [u32; 2],
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 16);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let (checksum, timing) = measure(program.node_count(), || {
        let mut sum = bottom_up(program.stretch_depth()).branch();
        let long_lived = top_down(program.depth_max);
        let array = Gc::new((0..ARRAY_LEN).map(element).collect::<Vec<f64>>());
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

fn leaf() -> Gc<Node> {
    Gc::new(Node::default())
}

fn bottom_up(depth: u64) -> Gc<Node> {
    if depth == 0 {
        return leaf();
    }
    let (left, right) = (bottom_up(depth - 1), bottom_up(depth - 1));
    Gc::new(Node { left: left.into(), right: right.into(), ..Node::default() })
}

fn top_down(depth: u64) -> Gc<Node> {
    let root = leaf();
    root.populate(depth);
    root
}

impl Node {
    fn populate(&self, depth: u64) {
        if depth > 0 {
            let left = self.left.get_or_init(leaf);
            let right = self.right.get_or_init(leaf);
            left.populate(depth - 1);
            right.populate(depth - 1);
        }
    }

    fn branch(&self) -> u64 {
        std::iter::successors(Some(self), |node| node.left.get().map(|left| &**left)).count() as u64
    }

    fn node_count(&self) -> u64 {
        let children = [self.left.get(), self.right.get()];
        1 + children.into_iter().flatten().map(|child| child.node_count()).sum::<u64>()
    }
}
