//! Binary trees: how fast are short-lived structures made, walked and reclaimed beside a
//! long-lived one?
//!
//! The program of the [Computer Language Benchmarks Game]: one *stretch* tree, one tree that lives
//! to the end, and for every second depth from 4 on, as many trees as make the same number of
//! nodes for each depth. A node is two references, 16 bytes.
//!
//! **Read it against** `box-mi`, which knows without a collector when each tree dies, and
//! `bumpalo-mi`, which never frees: what lies between it and a collector is the price of
//! reclaiming. The collectors stop for a collection, if one is due, between trees.
//!
//! [Computer Language Benchmarks Game]: https://benchmarksgame-team.pages.debian.net/benchmarksgame/description/binarytrees.html

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
    name: "binary-trees",
    size_unit: "depth",
    sizes: &[16, 18],
    size_max: 26,
    size_tiny: 7,
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

const DEPTH_MIN: u64 = 4;

/// What a node is in every implementation, apart from headers.
const NODE_BYTES: usize = 16;

/// The trees of one run: what to build at each depth, in order.
#[derive(Clone, Copy, Debug)]
struct Program {
    depth_max: u64,
}

impl Program {
    fn new(size: u64) -> Self {
        Self { depth_max: size.max(DEPTH_MIN + 2) }
    }

    fn stretch_depth(self) -> u64 {
        self.depth_max + 1
    }

    /// The depths of the short-lived trees, each with how many there are.
    fn batches(self) -> impl Iterator<Item = (u64, u64)> {
        let depths = (DEPTH_MIN..=self.depth_max).step_by(2);
        depths.map(move |depth| (depth, 1 << (self.depth_max - depth + DEPTH_MIN)))
    }

    /// How many nodes all trees of the run have together: each is counted once, so this is the
    /// checksum as well.
    fn node_count(self) -> u64 {
        let nodes = |depth: u64| (1 << (depth + 1)) - 1;
        let short_lived: u64 =
            self.batches().map(|(depth, tree_count)| tree_count * nodes(depth)).sum();
        nodes(self.stretch_depth()) + short_lived + nodes(self.depth_max)
    }
}

fn expected(size: u64) -> u64 {
    Program::new(size).node_count()
}

#[cfg(test)]
mod tests {
    #[test]
    fn node_count_is_that_of_the_published_program() {
        // Its output for depth 10: a stretch tree of 4095, 1024 trees of 31, 256 of 127, 64 of
        // 511, 16 of 2047, and a long-lived tree of 2047.
        let published = 4095 + 31_744 + 32_512 + 32_704 + 32_752 + 2047;
        assert_eq!(super::expected(10), published);
    }
}
