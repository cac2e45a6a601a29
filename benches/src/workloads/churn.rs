//! Churn: what does it cost to replace what lives long, at random?
//!
//! The size is the number of objects in a table. Each is 32 bytes: two references to random objects
//! of the table, and two `u64`. Then a random entry gets a new object, which points at two random ones,
//! [`REPLACEMENTS`] times the size in all: objects die old, in no order and anywhere. An object that
//! leaves the table gives up its references. Otherwise nearly everything would stay reachable, as two
//! newer objects point at each on average; as it is, about 1.75 times the size is live.
//!
//! **Read it against** `bumpalo-mi`, which pays for the same cache misses and never frees: what lies
//! between is the price of finding out what died. The collectors get a chance to run after every
//! [`BATCH`] replacements. The graph has no cycles, so that counting frees everything.

use crate::random::Random;
use crate::workload::{implementations, Implementation, Workload};

#[cfg(feature = "peers")]
mod boa;
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

/// How many objects are replaced in a run, as a multiple of the size.
pub const REPLACEMENTS: u64 = 10;

/// How many objects are replaced between two chances to collect.
pub const BATCH: usize = 1024;

/// A table whose entries are replaced at random.
pub static WORKLOAD: Workload = Workload {
    name: "churn",
    size_unit: "live objects",
    sizes: &[1_000_000],
    size_max: 100_000_000,
    size_tiny: 2000,
    operation: "replacement",
    base: "bumpalo-mi",
    expected,
    implementations: IMPLEMENTATIONS,
};

const IMPLEMENTATIONS: &[Implementation] = implementations! {
    once: { "cspace": cspace::run }
    each: { "rc": rc::run }
    peers: {
        "bumpalo": bump::run,
        "gc-arena": gc_arena::run,
        "gc-arena-stw": gc_arena::run_stop_the_world,
        "boa": boa::run,
        "dumpster": dumpster::run,
        "safe-gc": safe_gc::run,
    }
};

/// What an object is in every implementation, apart from headers.
const NODE_BYTES: usize = 32;

/// What happens to one entry of the table.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The number of the new object, its key.
    key: u64,
    /// Where it goes.
    entry: usize,
    /// The entries that it points at; the first object points at none.
    targets: Option<[usize; 2]>,
}

/// The objects that fill the table, in order: each points at two that are there already.
fn fill(size: u64) -> impl Iterator<Item = Step> {
    let mut random = Random::new(1);
    (0..size.max(1)).map(move |key| {
        let targets = (key > 0).then(|| [(); 2].map(|()| random.below(key) as usize));
        Step { key, entry: key as usize, targets }
    })
}

/// The objects that replace others. The targets are chosen before the entry is replaced, which may be
/// one of them.
fn replace(size: u64) -> impl ExactSizeIterator<Item = Step> {
    let mut random = Random::new(2);
    let size = size.max(1);
    let count = (size * REPLACEMENTS) as usize;
    (0..count).map(move |index| {
        let [entry, left, right] = [(); 3].map(|()| random.below(size) as usize);
        Step { key: size + index as u64, entry, targets: Some([left, right]) }
    })
}

/// Sums the keys of the table's objects and of those that they point at.
fn expected(size: u64) -> u64 {
    let mut keys: Vec<u64> = Vec::new();
    let mut sums: Vec<u64> = Vec::new();
    let sum = |keys: &[u64], step: Step| {
        step.key + step.targets.map_or(0, |[left, right]| keys[left] + keys[right])
    };
    for step in fill(size) {
        sums.push(sum(&keys, step));
        keys.push(step.key);
    }
    for step in replace(size) {
        sums[step.entry] = sum(&keys, step);
        keys[step.entry] = step.key;
    }
    sums.into_iter().sum()
}
