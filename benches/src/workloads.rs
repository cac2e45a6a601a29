//! The workloads, each with its question, its baseline and its implementations.
//!
//! A size is the only parameter, everything else is written down here: a figure can then be
//! repeated from its heading. All implementations allocate the same objects in the same order and
//! read them back into the same checksum. What is measured starts before the heap exists and ends
//! with the checksum; giving the memory back at the end of the program is not in it, unless the
//! program itself frees as it goes.
//!
//! # cspace's collector
//!
//! Its cycles run at safepoints of the measured thread: a worker beside it would take a second
//! processor, and hide what a collection costs. The collector at work is measured apart, by the
//! command `collector`.
//!
//! # gc-arena's pacing
//!
//! gc-arena collects in steps that pay off the debt of allocation, called wherever the program
//! can stand one: here after each tree or each batch of allocations. Its default pacing keeps the
//! heap near 1.5 times what is live and does the work in small steps. `gc-arena-stw` is
//! `Pacing::STOP_THE_WORLD` with a longer sleep: whole collections, less often, at the price of
//! more memory and longer pauses.

use cspace::{CSpace, GcMode};

use crate::workload::Workload;

pub mod access;
pub mod alloc;
pub mod binary_trees;
pub mod churn;
pub mod cycles;
#[cfg(feature = "peers")]
mod gc_arena_pacing;
pub mod gcbench;
pub mod list;
pub mod mark;
pub mod quads;
mod safepoint;

/// Every workload, in the order of the tables.
pub static ALL: &[&Workload] = &[
    &binary_trees::WORKLOAD,
    &gcbench::WORKLOAD,
    &churn::WORKLOAD,
    &cycles::WORKLOAD,
    &quads::WORKLOAD,
    &list::WORKLOAD,
    &mark::WORKLOAD,
    &alloc::WORKLOAD_16,
    &alloc::WORKLOAD_32,
    &access::EXCLUSIVE,
    &access::SHARED,
    &access::SCOPE,
    &access::ROOT_GET,
    &access::SLOT_GET,
    &access::SLOT_SET,
];

/// A space whose collections run on the thread that uses it.
fn safepoint_space() -> CSpace {
    CSpace::builder().gc(GcMode::Safepoints).build().expect("default settings, and no thread")
}
