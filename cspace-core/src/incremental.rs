//! An incremental mark: one that is done in parts, between which writers go on.
//!
//! Marking a large heap at once keeps writers out for as long as it takes. So the mark of a full cycle that comes
//! of allocation may be done in *increments*, each of which traces a bounded number of objects and leaves the
//! rest on the mark stack. The last one is a part of the cycle that condemns. Writers change the graph in
//! between, which is why the last one looks at some of it again:
//!
//! - **I1 (owner).** The mark that is under way belongs to whoever may change the heap: the collector that
//!   holds the space, or the holder of the exclusive lock. Nothing is freed while it is under way: a cycle ends it.
//! - **I2 (gray).** Between two increments a marked object is on the mark stack, or was traced: everything that it
//!   referred to then is marked.
//! - **I3 (seen).** What has been put into a [`Slot`](crate::Slot) since the mark began is marked, or *noted*, to be
//!   marked by the next increment: `Slot::set` shows it to the visitor while a mark is under way (an *insertion
//!   barrier*). What changes otherwise is gray again in the last increment: marked objects of types that may change
//!   unseen ([`CHANGES_UNSEEN`](crate::IObject::CHANGES_UNSEEN)), roots, owned values.
//!
//! So when the last increment ends everything that is reachable is marked. Suppose that something were not; on
//! a path to it there is an edge from a marked object, or a root, to the first one that is not marked. The
//! last increment shows all roots. The object was traced, in some increment, and the edge was not there then
//! (I2), so it was made since. If by a slot, its target was noted or marked (I3). If otherwise, the object was traced
//! again in the last increment, after which nothing changes (Y2).
//!
//! What is dead may be kept: all that was marked before it died. It goes with the next full cycle.
//!
//! Finish work, bytes outside of the heap and evictable references come of visits too; their types may all change
//! unseen, so what is found before the last increment is dropped, and found again.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::visitor::Visitor;

/// Bytes to allocate between two increments.
pub(crate) const INCREMENT_BYTES: usize = 1 << 20;
/// Objects to trace and to mark in an increment.
pub(crate) const INCREMENT_WORK: usize = 1 << 19;
/// The same under stress, where heaps are small.
pub(crate) const STRESS_WORK: usize = 16;
/// The most increments under stress.
pub(crate) const STRESS_INCREMENTS: usize = 4;
/// Increments that are allowed for beyond those that the objects of the last cycle are worth: there may be more by now.
const INCREMENTS_MORE: usize = 2;
/// An incremental mark pays while so many objects are not looked at twice for each that is.
const SEEN_MIN: usize = 4;

/// The incremental mark of a space, if one is under way.
#[derive(Default)]
pub(crate) struct Incremental {
    /// What `Slot::set` asks.
    is_under_way: AtomicBool,
    mark: UnsafeCell<Option<UnderWay>>,
    /// Bytes that may be allocated until the cycle has to end. Of whoever sets the budget.
    whole_budget: AtomicUsize,
}

// SAFETY: I1: whoever may touch the mark has the space to itself, and hands it on with the lock; what it points at
// are objects of the space.
unsafe impl Send for Incremental {}
// SAFETY: as above.
unsafe impl Sync for Incremental {}

/// A mark between two increments.
pub(crate) struct UnderWay {
    pub(crate) visitor: Box<Visitor<'static>>,
    /// Increments made.
    pub(crate) count: usize,
}

impl Incremental {
    #[inline(always)]
    pub(crate) fn is_under_way(&self) -> bool {
        // ORDERING: written and read with the lock held, which orders it.
        self.is_under_way.load(Relaxed)
    }

    /// Takes the mark, to go on with it or to end it.
    ///
    /// # Safety
    ///
    /// The caller may touch the mark (I1).
    pub(crate) unsafe fn take(&self) -> Option<UnderWay> {
        let is_under_way = self.is_under_way.load(Relaxed);
        self.is_under_way.store(false, Relaxed);
        // SAFETY: the caller's promise; no reference to it outlives a call.
        unsafe { (*self.mark.get()).take() }.filter(|_| is_under_way)
    }

    /// Leaves a mark for its next increment.
    ///
    /// # Safety
    ///
    /// As [`take`](Incremental::take); I2 holds.
    pub(crate) unsafe fn put(&self, mark: UnderWay) {
        // SAFETY: as in `take`.
        unsafe { *self.mark.get() = Some(mark) };
        self.is_under_way.store(true, Relaxed);
    }

    /// Calls `f` with the mark, if one is under way.
    ///
    /// # Safety
    ///
    /// As [`take`](Incremental::take).
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(&UnderWay) -> R) -> Option<R> {
        // SAFETY: as in `take`; `f` reads.
        unsafe { &*self.mark.get() }.as_ref().filter(|_| self.is_under_way()).map(f)
    }

    /// What was put into a slot is noted (I3). `show` shows it.
    ///
    /// If `show` panics the mark is given up, as it may have shown some of it only.
    ///
    /// # Safety
    ///
    /// As [`take`](Incremental::take), and a mark is under way; `show` shows objects of the space, and does not come
    /// by here again.
    #[inline]
    pub(crate) unsafe fn note(&self, show: impl FnOnce(&mut Visitor<'_>)) {
        // What a panic leaves is not under way.
        self.is_under_way.store(false, Relaxed);
        // SAFETY: the caller's promise.
        let Some(mark) = (unsafe { &mut *self.mark.get() }) else { return };
        show(&mut mark.visitor);
        mark.visitor.bound_noted();
        if mark.visitor.has_failed() {
            // It could not be noted, so the mark is given up.
            mark.visitor.give_up();
            return;
        }
        self.is_under_way.store(true, Relaxed);
    }

    pub(crate) fn whole_budget(&self) -> usize {
        self.whole_budget.load(Relaxed)
    }

    pub(crate) fn set_whole_budget(&self, bytes: usize) {
        self.whole_budget.store(bytes, Relaxed);
    }
}

/// How many increments the mark of so many objects is worth, if so many of them are looked at twice.
pub(crate) fn increments_for(objects: usize, unseen: usize) -> usize {
    if unseen * SEEN_MIN > objects {
        return 0;
    }
    // Each is traced and marked.
    match objects * 2 / INCREMENT_WORK {
        0 | 1 => 0,
        many => many + INCREMENTS_MORE,
    }
}
