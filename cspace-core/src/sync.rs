//! The one concurrency seam: protocols take their atomics from here, and nowhere else chooses.
//!
//! Built with `--cfg cspace_loom`, the small protocol structures ([`crate::protocol`]) run on
//! loom's atomics, so that `loom-tests` can try every interleaving. Everything else in the crate
//! uses `core::sync::atomic` under the space's lock, where there is nothing to interleave.

#[cfg(not(cspace_loom))]
pub use core::sync::atomic::{fence, AtomicU64, AtomicU8, AtomicUsize, Ordering};
#[cfg(cspace_loom)]
pub use loom::sync::atomic::{fence, AtomicU64, AtomicU8, AtomicUsize, Ordering};
