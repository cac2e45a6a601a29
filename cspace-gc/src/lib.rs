//! The collector of cspace: when a cycle runs, on which thread, with how much patience.
//!
//! What is sound in a cycle is decided by the phases of [`cspace_core::collector`]; this crate drives them and
//! has no unsafe code. [`MarkSweep`] marks under a shared lock, finishes in bounded attempts, and sweeps with
//! nothing locked.
//!
//! - **K1 (one cycle).** A cycle begins with the space's claim and ends when its batch is reclaimed, on whatever
//!   thread that happens; the claim goes along with it (the core's Y1).
//! - **K2 (no user code under a mutex).** `visit_objects`, drops and listeners run with no mutex held, and
//!   listeners after the claim was given up, so that they may collect.
//! - **K3 (no waiting inside).** A thread that holds a space, or runs a sweep, never waits for another thread's
//!   cycle, nor without end for readers to leave: they may want what it holds.

#![forbid(unsafe_code)]

mod cycle;

pub use cycle::{MarkSweep, Patience};
