//! List: does a heap stand a structure as deep as it is large?
//!
//! The size is the length of a list, of elements of 16 bytes: a reference and a `u64`. It is built by
//! putting each element before the others, is walked, and dropped; what the drop made reclaimable is
//! reclaimed within the measured time. The collectors get a chance to run after every [`BATCH`]
//! elements, when all of the list is reachable, and a marker that recurses runs out of stack.
//!
//! **Read it against** `bumpalo-mi`: allocation and one walk, and no reclaiming. `Box`, `Rc` and
//! dumpster free element by element in a loop that is written by hand, as their own recursion would
//! not stand it.

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

/// How many elements are added between two chances to collect.
pub const BATCH: u64 = 1024;

/// One long list.
pub static WORKLOAD: Workload = Workload {
    name: "list",
    size_unit: "elements",
    sizes: &[10_000_000],
    size_max: 1_000_000_000,
    size_tiny: 100_000,
    operation: "element",
    base: "bumpalo-mi",
    expected: |size| (0..size).sum(),
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

/// What an element is in every implementation, apart from headers.
const NODE_BYTES: usize = 16;

/// The batches of a run, as ranges of keys.
fn batches(size: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..size).step_by(BATCH as usize).map(move |start| start..(start + BATCH).min(size))
}
