//! Binary trees in dumpster: counted, and freed at zero; there are no cycles to look for.

use dumpster::unsync::Gc;
use dumpster::Trace;

use super::{Program, NODE_BYTES};
use crate::measure::{measure, Measured};

/// A reference may be dead and has no niche, so this is more than the 16 bytes of the others.
#[derive(Trace)]
struct Tree {
    children: Option<[Gc<Tree>; 2]>,
}

const _: () = assert!(size_of::<Tree>() == NODE_BYTES + 8);

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
