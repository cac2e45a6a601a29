//! The collector of cspace: when a cycle runs, on which thread, with how much patience.
//!
//! What is sound in a cycle is decided by the phases of [`cspace_core::collector`]; this crate drives
//! them. [`MarkSweep`] is a timed-or-triggered, mark under a shared lock, sweep off the lock collector
//! for one space.
//!
//! - **K1 (one cycle).** A space's cycle is claimed before it begins and given up after its batch is
//!   reclaimed; nobody else marks in between (the core's Y1).
//! - **K2 (no user code under a mutex).** The claim is a flag, not a held mutex: `visit_objects`, drops
//!   and listeners run with no mutex of this crate held.
//! - **K3 (no waiting inside).** A thread that holds a space, or runs a sweep, never waits for another
//!   thread's cycle: a drop of that cycle may want what it holds.

#![forbid(clippy::todo)]

mod cycle;

pub use cycle::{MarkSweep, Patience};
