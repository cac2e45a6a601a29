//! GCBench in one bump arena that keeps every node of the run.

use std::cell::Cell;

use bumpalo::Bump;

use super::{check, element, Program, ARRAY_LEN, NODE_BYTES};
use crate::measure::{measure, Measured};

#[derive(Default)]
struct Node<'a> {
    left: Cell<Option<&'a Node<'a>>>,
    right: Cell<Option<&'a Node<'a>>>,
    _payload: [u32; 2],
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _arena), timing) = measure(program.node_count(), || {
        let arena = Bump::new();
        let mut sum = bottom_up(&arena, program.stretch_depth()).branch();
        let long_lived = top_down(&arena, program.depth_max);
        let array = arena.alloc_slice_fill_with(ARRAY_LEN, element);
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += top_down(&arena, depth).branch();
            }
            for _ in 0..tree_count {
                sum += bottom_up(&arena, depth).branch();
            }
        }
        sum += long_lived.node_count() + check(array);
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn bottom_up(arena: &Bump, depth: u64) -> &Node<'_> {
    if depth == 0 {
        return arena.alloc(Node::default());
    }
    let (left, right) = (bottom_up(arena, depth - 1), bottom_up(arena, depth - 1));
    arena.alloc(Node { left: Some(left).into(), right: Some(right).into(), ..Node::default() })
}

fn top_down(arena: &Bump, depth: u64) -> &Node<'_> {
    let root = arena.alloc(Node::default());
    root.populate(arena, depth);
    root
}

impl<'a> Node<'a> {
    fn populate(&self, arena: &'a Bump, depth: u64) {
        if depth > 0 {
            let left: &Node = arena.alloc(Node::default());
            let right: &Node = arena.alloc(Node::default());
            self.left.set(Some(left));
            self.right.set(Some(right));
            left.populate(arena, depth - 1);
            right.populate(arena, depth - 1);
        }
    }

    fn branch(&self) -> u64 {
        std::iter::successors(Some(self), |node| node.left.get()).count() as u64
    }

    fn node_count(&self) -> u64 {
        let children = [self.left.get(), self.right.get()];
        1 + children.into_iter().flatten().map(|child| child.node_count()).sum::<u64>()
    }
}
