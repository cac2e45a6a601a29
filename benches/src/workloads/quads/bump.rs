//! Quads in one bump arena that keeps every node of the run.

use bumpalo::Bump;

use super::{Program, GARBAGE_DEPTH, NODE_BYTES, ROUNDS};
use crate::measure::{measure, Measured};

struct Quad<'a> {
    children: Option<[&'a Quad<'a>; 4]>,
}

const _: () = assert!(size_of::<Quad<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _arena), timing) = measure(program.node_count(), || {
        let arena = Bump::new();
        let live = build(&arena, program.depth);
        let mut sum = 0;
        for _ in 0..ROUNDS {
            for _ in 0..program.garbage_tree_count() {
                sum += build(&arena, GARBAGE_DEPTH).branch();
            }
            sum += live.node_count();
        }
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn build(arena: &Bump, depth: u64) -> &Quad<'_> {
    let children = (depth > 0).then(|| [(); 4].map(|()| build(arena, depth - 1)));
    arena.alloc(Quad { children })
}

impl Quad<'_> {
    fn branch(&self) -> u64 {
        match self.children {
            None => 1,
            Some([first, ..]) => 1 + first.branch(),
        }
    }

    fn node_count(&self) -> u64 {
        let children = self.children.iter().flatten();
        1 + children.map(|child| child.node_count()).sum::<u64>()
    }
}
