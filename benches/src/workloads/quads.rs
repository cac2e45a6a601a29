//! Quads: how fast does garbage go through a heap of fixed size, beside a large live structure?
//!
//! The program of the same name that comes with the Whippet collectors. The size is the depth of a
//! live tree with four children per node, 10 in the original: 1.4 million nodes of four references.
//! Then, [`ROUNDS`] times, small trees of depth [`GARBAGE_DEPTH`] are made and dropped until they
//! have taken [`ROUND_PERCENT`] % of the heap, and the live tree is walked to see that it is complete.
//!
//! The heap is [`HEAP_FACTOR`] times the bytes of the live nodes, headers not counted, where that can
//! be had: cspace and Boehm's collector take it as their limit. gc-arena gets a pacing that comes to the
//! same. The others take what they like; look at the peak.
//!
//! **Read it against** `box-mi`, which knows without a collector when each small tree dies.

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

/// How often garbage is made and the live tree walked.
pub const ROUNDS: u64 = 20;

/// How much garbage is made each time, of the heap's bytes.
pub const ROUND_PERCENT: u64 = 13;

/// The depth of the trees that are garbage.
pub const GARBAGE_DEPTH: u64 = 3;

/// The bytes of the heap, as a multiple of the live ones.
pub const HEAP_FACTOR: f64 = 2.5;

/// The smallest heap: a heap is made of blocks, and a few of them are no heap yet.
const HEAP_BYTES_MIN: u64 = 1 << 20;

/// For collectors that have no limit but a pace: the bytes allocated between two collections, as a multiple of the
/// live ones. What [`HEAP_FACTOR`] leaves, less a little for the collector to be in time.
pub const BUDGET_FACTOR: f64 = HEAP_FACTOR - 1.0 - 0.05;

/// A live tree and garbage beside it.
pub static WORKLOAD: Workload = Workload {
    name: "quads",
    size_unit: "depth",
    sizes: &[10],
    size_max: 14,
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
        "boa": boa::run,
        "dumpster": dumpster::run,
        "safe-gc": safe_gc::run,
    }
};

/// What a node is in every implementation, apart from headers.
const NODE_BYTES: usize = 32;

/// What one run builds.
#[derive(Clone, Copy, Debug)]
struct Program {
    depth: u64,
}

impl Program {
    fn new(size: u64) -> Self {
        Self { depth: size }
    }

    fn heap_bytes(self) -> u64 {
        heap_bytes(self.depth)
    }

    /// How many small trees a round makes.
    fn garbage_tree_count(self) -> u64 {
        let tree_bytes = nodes(GARBAGE_DEPTH) * NODE_BYTES as u64;
        self.heap_bytes() * ROUND_PERCENT / 100 / tree_bytes
    }

    /// How many nodes the run allocates.
    fn node_count(self) -> u64 {
        nodes(self.depth) + ROUNDS * self.garbage_tree_count() * nodes(GARBAGE_DEPTH)
    }
}

/// How large the heap is for a live tree of this depth.
pub fn heap_bytes(depth: u64) -> u64 {
    let bytes = nodes(depth) as f64 * NODE_BYTES as f64 * HEAP_FACTOR;
    (bytes as u64).max(HEAP_BYTES_MIN)
}

/// How many nodes a tree has.
fn nodes(depth: u64) -> u64 {
    (4u64.pow(depth as u32 + 1) - 1) / 3
}

/// The nodes of the live tree in each walk, and those on the first branch of each small tree, which is
/// what every implementation looks at of it.
fn expected(size: u64) -> u64 {
    let program = Program::new(size);
    ROUNDS * (nodes(program.depth) + program.garbage_tree_count() * (GARBAGE_DEPTH + 1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn live_tree_is_as_large_as_the_original_says() {
        assert_eq!(super::nodes(10), 1_398_101);
    }
}
