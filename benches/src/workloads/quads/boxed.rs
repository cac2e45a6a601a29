//! Quads of `Box`: each small tree is freed, node by node, when it goes out of scope.

use super::{Program, GARBAGE_DEPTH, NODE_BYTES, ROUNDS};
use crate::measure::{measure, Measured};

struct Quad {
    children: Option<[Box<Quad>; 4]>,
}

const _: () = assert!(size_of::<Quad>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _live), timing) = measure(program.node_count(), || {
        let live = build(program.depth);
        let mut sum = 0;
        for _ in 0..ROUNDS {
            for _ in 0..program.garbage_tree_count() {
                sum += build(GARBAGE_DEPTH).branch();
            }
            sum += live.node_count();
        }
        (sum, live)
    });
    timing.with_checksum(checksum)
}

fn build(depth: u64) -> Box<Quad> {
    let children = (depth > 0).then(|| [(); 4].map(|()| build(depth - 1)));
    Box::new(Quad { children })
}

impl Quad {
    fn branch(&self) -> u64 {
        match &self.children {
            None => 1,
            Some([first, ..]) => 1 + first.branch(),
        }
    }

    fn node_count(&self) -> u64 {
        let children = self.children.iter().flatten();
        1 + children.map(|child| child.node_count()).sum::<u64>()
    }
}
