//! Binary trees in boa_gc, which collects when it likes, inside of an allocation; handles are roots.

use boa_gc::{Finalize, Gc, Trace};

use super::{Program, NODE_BYTES};
use crate::measure::{measure, Measured};

#[derive(Finalize, Trace)]
struct Tree {
    children: Option<[Gc<Tree>; 2]>,
}

const _: () = assert!(size_of::<Tree>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let (checksum, timing) = measure(program.node_count(), || {
        let mut sum = build(program.stretch_depth()).node_count();
        let long_lived = build(program.depth_max);
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += build(depth).node_count();
            }
        }
        sum + long_lived.node_count()
    });
    timing.with_checksum(checksum)
}

fn build(depth: u64) -> Gc<Tree> {
    let children = (depth > 0).then(|| [build(depth - 1), build(depth - 1)]);
    Gc::new(Tree { children })
}

impl Tree {
    fn node_count(&self) -> u64 {
        match &self.children {
            None => 1,
            Some([left, right]) => 1 + left.node_count() + right.node_count(),
        }
    }
}
