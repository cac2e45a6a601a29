//! Allocation: what does an object cost that dies at once?
//!
//! The size is the number of objects of 16 or 32 bytes, leaves of plain numbers. Each is written,
//! read back once and never used again. The collectors get a chance to run after every [`BATCH`]
//! objects, about as often as an interpreter would look; the loop is the same for all.
//!
//! **Read it against** `box-mi`, one allocation and one free in the fastest allocator there is for
//! it, always the same block of memory, hot in the cache; and `bumpalo-mi`, which touches fresh
//! memory all the time: a collector that reuses what it emptied last should beat it.

use std::hint::black_box;

use crate::workload::{implementations, Workload};

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

/// How many objects are allocated between two chances to collect.
pub const BATCH: u64 = 1024;

/// The implementations for objects of `$words` words.
macro_rules! implementations_of_words {
    ($words:literal) => {
        implementations! {
            once: { "cspace": cspace::run::<$words> }
            each: { "box": boxed::run::<$words>, "rc": rc::run::<$words> }
            peers: {
                "bumpalo": bump::run::<$words>,
                "gc-arena": gc_arena::run::<$words>,
                "gc-arena-stw": gc_arena::run_stop_the_world::<$words>,
                "boa": boa::run::<$words>,
                "dumpster": dumpster::run::<$words>,
                "safe-gc": safe_gc::run::<$words>,
            }
        }
    };
}

/// Objects of 16 bytes.
pub static WORKLOAD_16: Workload =
    Workload { name: "alloc-16", implementations: implementations_of_words!(2), ..WORKLOAD };

/// Objects of 32 bytes.
pub static WORKLOAD_32: Workload =
    Workload { name: "alloc-32", implementations: implementations_of_words!(4), ..WORKLOAD };

const WORKLOAD: Workload = Workload {
    name: "alloc",
    size_unit: "objects",
    sizes: &[50_000_000],
    size_max: 1 << 40,
    size_tiny: 3 * BATCH + 1,
    operation: "object",
    base: "box-mi",
    expected: |size| (0..size).fold(0, u64::wrapping_add),
    implementations: &[],
};

/// The batches of a run, as ranges of object numbers.
fn batches(size: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..size).step_by(BATCH as usize).map(move |start| start..(start + BATCH).min(size))
}

/// The contents of an object: its number, repeated.
fn payload<const WORDS: usize>(number: u64) -> [u64; WORDS] {
    [number; WORDS]
}

/// Reads an object back through a reference that the compiler knows nothing about.
fn read<const WORDS: usize>(object: &[u64; WORDS]) -> u64 {
    black_box(object)[WORDS - 1]
}
