//! Marking: what does a full collection cost per live object, on a graph without locality?
//!
//! The size is the number of live objects. Each is 32 bytes: two references and two `u64`. The
//! first reference leads around one cycle through all objects in random order, so that exactly
//! those are live and one root keeps them; the second one leads to a random object. Nothing dies, so
//! a collection is marking and a sweep that frees nothing. One collection warms up, and
//! [`COLLECTION_COUNT`] are measured; an operation is one object in one of them.
//!
//! **Read it against** `hand`: a mark stack and an epoch in each object, as one would write it by
//! hand for this one graph, with nothing to sweep. Only a marker that hides the latency of memory,
//! by prefetching or by keeping its marks in less of it, gets far below. The peak includes the
//! tables that the graph is built from, 12 bytes per object in every language; they are dropped before the first
//! collection.

use crate::random::Random;
use crate::workload::{implementations, Implementation, Workload};

#[cfg(feature = "peers")]
mod boa;
mod by_hand;
mod cspace;
#[cfg(feature = "peers")]
mod gc_arena;
#[cfg(feature = "peers")]
mod safe_gc;

/// How many collections are measured in a run.
pub const COLLECTION_COUNT: u64 = 5;

/// Full collections of a random graph.
pub static WORKLOAD: Workload = Workload {
    name: "mark",
    size_unit: "live objects",
    sizes: &[1_000_000, 10_000_000],
    size_max: 100_000_000,
    size_tiny: 1000,
    operation: "live object",
    base: "gc-arena-mi",
    expected: |size| Graph::new(size).checksum(),
    implementations: IMPLEMENTATIONS,
};

const IMPLEMENTATIONS: &[Implementation] = implementations! {
    once: { "cspace": cspace::run, "hand": by_hand::run }
    each: {}
    peers: { "gc-arena": gc_arena::run, "boa": boa::run, "safe-gc": safe_gc::run }
};

/// What an object is in every implementation, apart from headers.
const NODE_BYTES: usize = 32;

/// Where the two references of each object lead, by the index of the object.
#[derive(Debug)]
struct Graph {
    next: Vec<u32>,
    /// The second references are drawn from it, as they are asked for.
    random: Random,
}

impl Graph {
    fn new(size: u64) -> Self {
        let size = u32::try_from(size.max(2)).expect("the graph is limited to 2³² objects");
        let mut random = Random::new(42);
        // Sattolo's shuffle: every permutation that it makes is a single cycle.
        let mut next: Vec<u32> = (0..size).collect();
        for index in (1..next.len()).rev() {
            next.swap(index, random.below(index as u64) as usize);
        }
        Self { next, random }
    }

    fn size(&self) -> u64 {
        self.next.len() as u64
    }

    /// For each object, where its references lead.
    fn edges(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        let size = self.size();
        let mut random = self.random.clone();
        self.next.iter().map(move |&next| [next as usize, random.below(size) as usize])
    }

    /// What a walk around the cycle adds up to: each key once, and the keys at the other end of
    /// the second references.
    fn checksum(&self) -> u64 {
        let keys: u64 = (0..self.size()).sum();
        keys + self.edges().map(|[_, other]| other as u64).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    #[test]
    fn first_references_are_one_cycle_through_all_objects() {
        let graph = Graph::new(1000);
        let mut index = 0;
        for step in 1..=1000 {
            index = graph.next[index] as usize;
            assert_eq!(index == 0, step == 1000);
        }
    }
}
