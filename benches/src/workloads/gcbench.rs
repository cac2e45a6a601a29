//! GCBench: what does a heap cost that builds trees from either end, beside a long-lived one?
//!
//! The program of John Ellis and Pete Kovac, as Hans Boehm published it. The size is the depth of the
//! long-lived tree, 16 in the original. A *stretch* tree two levels deeper comes and goes; a
//! long-lived tree and an array of [`ARRAY_LEN`] doubles stay to the end; for every second depth from
//! 4 on, as many trees as have twice the nodes of the stretch tree are built from the root down, by
//! storing into nodes that exist, and as many again from the leaves up. A node is two references and
//! two `u32`, 24 bytes.
//!
//! The original looks at no tree. Here the leftmost branch of each is walked, so that there is a
//! checksum: the nodes on these branches, those of the long-lived tree, and one for the array.
//!
//! **Read it against** `box-mi`, which knows without a collector when each tree dies. The collectors
//! stop for a collection, if one is due, between trees.

use crate::workload::{implementations, Implementation, Workload};

#[cfg(feature = "peers")]
mod boa;
mod boxed;
#[cfg(feature = "peers")]
mod bump;
mod cspace;
#[cfg(feature = "peers")]
mod dumpster;
#[cfg(feature = "peers")]
mod gc_arena;
mod rc;
#[cfg(feature = "peers")]
mod safe_gc;

/// The program at one depth.
pub static WORKLOAD: Workload = Workload {
    name: "gcbench",
    size_unit: "depth",
    sizes: &[16],
    size_max: 24,
    size_tiny: 6,
    operation: "node",
    base: "box-mi",
    expected,
    implementations: IMPLEMENTATIONS,
};

const IMPLEMENTATIONS: &[Implementation] = implementations! {
    once: { "cspace": cspace::run }
    each: { "box": boxed::run, "rc": rc::run }
    peers: {
        "bumpalo": bump::run,
        "gc-arena": gc_arena::run,
        "gc-arena-stw": gc_arena::run_stop_the_world,
        "boa": boa::run,
        "dumpster": dumpster::run,
        "safe-gc": safe_gc::run,
    }
};

/// How many doubles the long-lived array has.
pub const ARRAY_LEN: usize = 500_000;

const DEPTH_MIN: u64 = 4;

/// What a node is in every implementation, apart from headers.
const NODE_BYTES: usize = 24;

/// The trees of one run: what to build at each depth, in order.
#[derive(Clone, Copy, Debug)]
struct Program {
    depth_max: u64,
}

impl Program {
    fn new(size: u64) -> Self {
        Self { depth_max: size.max(DEPTH_MIN) }
    }

    fn stretch_depth(self) -> u64 {
        self.depth_max + 2
    }

    /// The depths of the short-lived trees, each with how many there are from each end.
    fn batches(self) -> impl Iterator<Item = (u64, u64)> {
        let depths = (DEPTH_MIN..=self.depth_max).step_by(2);
        depths.map(move |depth| (depth, 2 * nodes(self.stretch_depth()) / nodes(depth)))
    }

    /// How many nodes all trees of the run have together.
    fn node_count(self) -> u64 {
        let short_lived: u64 =
            self.batches().map(|(depth, tree_count)| 2 * tree_count * nodes(depth)).sum();
        nodes(self.stretch_depth()) + short_lived + nodes(self.depth_max)
    }
}

/// How many nodes a tree has.
fn nodes(depth: u64) -> u64 {
    (1 << (depth + 1)) - 1
}

/// An element of the long-lived array; the second half stays zero, as in the original.
fn element(index: usize) -> f64 {
    if (1..ARRAY_LEN / 2).contains(&index) {
        1.0 / index as f64
    } else {
        0.0
    }
}

/// Looks into the array as the original does: one if it is still what it was.
fn check(array: &[f64]) -> u64 {
    u64::from(array.len() == ARRAY_LEN && array[1000] == 1.0 / 1000.0)
}

fn expected(size: u64) -> u64 {
    let program = Program::new(size);
    let branch = |depth: u64| depth + 1;
    let short_lived: u64 =
        program.batches().map(|(depth, tree_count)| 2 * tree_count * branch(depth)).sum();
    branch(program.stretch_depth()) + short_lived + nodes(program.depth_max) + 1
}

#[cfg(test)]
mod tests {
    use super::Program;

    #[test]
    fn tree_counts_are_those_of_the_published_program() {
        // Its output for the original depth: so many top-down trees of each depth, and bottom-up.
        let published = [(4, 33824), (6, 8256), (8, 2052), (10, 512), (12, 128), (14, 32), (16, 8)];
        assert_eq!(Program::new(16).batches().collect::<Vec<_>>(), published);
    }
}
