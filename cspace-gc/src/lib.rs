//! The collector of cspace: when a cycle runs, on which thread, with how much patience.
//!
//! What is sound in a cycle is decided by the phases of [`cspace_core::collector`]; this crate drives them and
//! has no unsafe code. [`MarkSweep`] marks under a shared lock, finishes in bounded attempts, and sweeps with
//! nothing locked. [`GcControl`] decides who runs the cycles of a space: a worker, a [`GcPool`], the embedder's
//! own thread with a [`GcDriver`], the mutators at their safepoints, or nobody; and while one of the former is stuck in
//! user code, a stand-in.
//!
//! - **K1 (one cycle).** A cycle begins with the space's claim and ends when its batch is reclaimed, on whatever
//!   thread that happens; the claim goes along with it (the core's Y1).
//! - **K2 (no user code under a mutex).** `visit_objects`, drops and listeners run with no mutex held that other
//!   threads' calls take, and listeners after the claim was given up, so that they may collect. On a stand-in's thread
//!   none runs but `visit_objects` and policies.
//! - **K3 (no waiting inside).** A thread that holds a space, or runs a sweep, never waits for another thread's
//!   cycle, nor without end for readers to leave: they may want what it holds.
//! - **K4 (no waiting for ever).** A driver waits for the lock, for readers and for other cycles only in forms that
//!   a stop ends; nobody waits for a driver but who stops it. Dropping a space waits for nothing.

#![forbid(unsafe_code)]

mod busy;
mod control;
mod cycle;
mod driver;
mod error;
mod period;
mod pool;
pub mod protocol;
mod reference;
mod stand_in;
mod worker;

pub use control::{GcControl, GcMode, GcSettings};
pub use cycle::{MarkSweep, Patience};
pub use driver::GcDriver;
pub use error::{PoolError, StartError, StopError};
pub use pool::GcPool;
pub use reference::{PhantomReference, ReferenceQueue, WeakReference};
