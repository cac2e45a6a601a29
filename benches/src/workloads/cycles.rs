//! Cycles: what does garbage cost that no count would find?
//!
//! The size is the number of rings. Each is [`RING_LEN`] objects of 16 bytes, a reference to the next
//! one and a `u64`; it is made, walked around once, and dropped. The collectors get a chance to run
//! after every [`BATCH`] rings.
//!
//! **Read it against** `box-mi`, which cannot make a ring: there it is a chain, freed by hand without
//! anything to find out. `rc` closes the ring with a `Weak`, as a program in Rust would.

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

/// How many objects a ring has.
pub const RING_LEN: u64 = 10;

/// How many rings are made between two chances to collect.
pub const BATCH: u64 = 100;

/// Rings, made and dropped.
pub static WORKLOAD: Workload = Workload {
    name: "cycles",
    size_unit: "rings",
    sizes: &[1_000_000],
    size_max: 1 << 36,
    size_tiny: 3 * BATCH + 1,
    operation: "object",
    base: "box-mi",
    expected: |size| (0..size * RING_LEN).fold(0, u64::wrapping_add),
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

/// What an object is in every implementation, apart from headers.
const NODE_BYTES: usize = 16;

/// The rings of a run in batches, each ring as the range of its objects' keys.
fn batches(size: u64) -> impl Iterator<Item = impl Iterator<Item = std::ops::Range<u64>>> {
    (0..size).step_by(BATCH as usize).map(move |start| rings(start..(start + BATCH).min(size)))
}

fn rings(numbers: std::ops::Range<u64>) -> impl Iterator<Item = std::ops::Range<u64>> {
    numbers.map(|number| number * RING_LEN..(number + 1) * RING_LEN)
}
