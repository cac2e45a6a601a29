//! Binary trees in one bump arena that keeps every node of the run.

use bumpalo::Bump;

use super::{Program, NODE_BYTES};
use crate::measure::{measure, Measured};

struct Tree<'a> {
    children: Option<[&'a Tree<'a>; 2]>,
}

const _: () = assert!(size_of::<Tree<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _arena), timing) = measure(program.node_count(), || {
        let arena = Bump::new();
        let mut sum = build(&arena, program.stretch_depth()).node_count();
        let long_lived = build(&arena, program.depth_max);
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += build(&arena, depth).node_count();
            }
        }
        sum += long_lived.node_count();
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn build(arena: &Bump, depth: u64) -> &Tree<'_> {
    let children = (depth > 0).then(|| [build(arena, depth - 1), build(arena, depth - 1)]);
    arena.alloc(Tree { children })
}

impl Tree<'_> {
    fn node_count(&self) -> u64 {
        match self.children {
            None => 1,
            Some([left, right]) => 1 + left.node_count() + right.node_count(),
        }
    }
}
