//! Stamps: in which order evictable objects were touched.
//!
//! A touch takes a number that is above three others: what the clock says, the last one of its thread, and the
//! space's floor. Nothing is written that another thread's touch reads, so touches of readers cost each other
//! nothing.
//!
//! - **N1 (thread).** Stamps of one thread grow, whatever the clock does.
//! - **N2 (exclusive).** A touch in an exclusive access raises the floor to its stamp, so that touches of
//!   exclusive accesses grow from one thread to the next, whatever the clock does.
//! - **N3 (collected).** A collection raises the floor to the largest stamp that it saw.
//!
//! Between readers on several threads the clock decides: that of the processor, which runs alike on all cores of
//! the machines that there are.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

thread_local! {
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// The least number that a space's next stamp is above. On a cache line, and its neighbour, of its own: every
/// reader that touches reads it.
#[repr(align(128))]
#[derive(Default, Debug)]
pub(crate) struct Floor(AtomicU64);

impl Floor {
    /// A stamp for a touch beside other readers (N1).
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        let floor = self.0.load(Relaxed);
        LAST.with(|last| {
            let stamp = clock().max(last.get().max(floor).saturating_add(1));
            last.set(stamp);
            stamp
        })
    }

    /// A stamp for a touch in an exclusive access (N2).
    #[inline]
    pub(crate) fn stamp_exclusive(&self) -> u64 {
        let stamp = self.stamp();
        self.0.store(stamp, Relaxed);
        stamp
    }

    /// Raises the floor (N3).
    pub(crate) fn raise(&self, stamp: u64) {
        self.0.fetch_max(stamp, Relaxed);
    }

    /// Raises it to another space's.
    pub(crate) fn raise_to(&self, other: &Floor) {
        self.raise(other.0.load(Relaxed));
    }
}

/// What the processor's clock says.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn clock() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds of a clock that runs forward, since its first use.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn clock() -> u64 {
    static BEGIN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    BEGIN.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order must not depend on the clock: here it is behind for ever.
    #[test]
    fn stamps_grow_while_the_clock_is_behind() {
        let ahead = u64::MAX / 2;
        let floor = Floor::default();
        floor.raise(ahead);
        let first = floor.stamp();
        assert_eq!((first, floor.stamp()), (ahead + 1, ahead + 2), "of one thread");
        let here = floor.stamp_exclusive();
        let there =
            std::thread::scope(|threads| threads.spawn(|| floor.stamp_exclusive()).join().unwrap());
        assert!(there > here, "of exclusive accesses on two threads");
        floor.raise(1);
        assert!(floor.stamp() > there, "the floor is never lowered");
        let other = Floor::default();
        other.raise_to(&floor);
        let elsewhere =
            std::thread::scope(|threads| threads.spawn(|| other.stamp()).join().unwrap());
        assert!(elsewhere > there);
    }
}
