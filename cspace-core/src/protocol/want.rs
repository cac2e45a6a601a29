//! The flag that brings mutators to a safepoint, and the reasons for it.

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// Whether the holder of the lock is wanted at a safepoint, and why.
///
/// The flag is one load for those who poll it. Whoever has a reason writes the reason down first and then
/// raises the flag; the holder of the exclusive lock lowers the flag first and then looks for reasons.
///
/// - **P5 (kept).** A reason that was written down stays with a raised flag until it is gone: after
///   [`settle`](Want::settle) the flag is up if there is one.
/// - **P6 (served).** A request is taken away only by a cycle that begins after it was made.
#[derive(Debug)]
pub struct Want {
    /// What mutators poll.
    raised: AtomicBool,
    /// Somebody asked for a collection, not for reasons of budget.
    requested: AtomicBool,
    /// Threads that wait for the lock and want it handed over.
    waiter_count: AtomicUsize,
}

impl Want {
    /// No reason yet; `raised` for spaces that want every safepoint to be looked at.
    pub fn new(raised: bool) -> Want {
        Want {
            raised: AtomicBool::new(raised),
            requested: AtomicBool::new(false),
            waiter_count: AtomicUsize::new(0),
        }
    }

    /// Whether the flag is up. One relaxed load: it comes through when it comes through.
    #[inline(always)]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Raises the flag, for a reason that is written down elsewhere or is none.
    #[inline]
    pub fn raise(&self) {
        // ORDERING: with `settle`: of two threads of which one writes a reason down and raises, and the other
        // lowers and looks, the swap that comes second reads what the first wrote. So either the second sees
        // the reason, or the flag stays up (P5).
        self.raised.swap(true, Ordering::AcqRel);
    }

    /// Asks for a collection.
    pub fn request(&self) {
        // ORDERING: a swap, with `serve` (P6).
        self.requested.swap(true, Ordering::AcqRel);
        self.raise();
    }

    /// Whether a collection was asked for and none began since.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// A cycle begins, which serves whoever asked until now (P6); whether somebody did. By the collector, with the lock
    /// held.
    pub fn serve(&self) -> bool {
        // ORDERING: a swap, not a store: it reads the requests that it takes away, so that the cycle sees what
        // was done before they were made (P6).
        self.requested.swap(false, Ordering::AcqRel)
    }

    /// One thread more waits for the lock.
    pub fn begin_wait(&self) {
        self.waiter_count.fetch_add(1, Ordering::AcqRel);
        self.raise();
    }

    /// One thread less does.
    pub fn end_wait(&self) {
        self.waiter_count.fetch_sub(1, Ordering::AcqRel);
    }

    /// Lowers the flag unless there is a reason for it. By the holder of the exclusive lock; `other` says
    /// whether there are reasons that are written down elsewhere.
    pub fn settle(&self, other: impl FnOnce() -> bool) {
        // Lowered first: a reason that comes up after it was looked for raises the flag again (P5).
        self.raised.swap(false, Ordering::AcqRel);
        let reasons = self.requested.load(Ordering::Acquire)
            || self.waiter_count.load(Ordering::Acquire) > 0
            || other();
        if reasons {
            self.raise();
        }
    }
}
