//! The seam between a space and its collector: the phases of a cycle as types.
//!
//! ```text
//! MarkPhase   upgradable lock: readers go on, writers wait, the graph is frozen
//!   │  mark()              roots, owned roots, everything that they reach
//!   │  drain_late()        what readers rooted meanwhile
//!   │  try_finish(…)       bounded attempts to get everybody out
//!   ▼
//! FinishPhase exclusive lock, nobody has access
//!   │  last roots, weak cells, weak sets flipped, stacks cleared, cleaners and spans detached
//!   ▼
//! Batch       no lock: the sweep, without user code; then the claim is given up
//!   │  sweep()
//!   ▼
//! Remains     no lock, no claim: cleaners, hooks and drops of the dead
//! ```
//!
//! A collector (the crate `cspace-gc`) decides when a cycle runs, on which thread and with how much
//! patience; the phases here decide what is sound.
//!
//! - **Y1 (one).** A space has at most one cycle at a time, from the mark to the end of the sweep
//!   of its batch; so mark bits have one user (H3).
//! - **Y2 (frozen).** Between the beginning of the mark and the finish nobody changes an object, nor while an
//!   increment marks: exclusive accesses wait for the upgradable lock.
//! - **Y3 (complete).** When the finish condemns, every object that a root reaches is marked, roots made
//!   during the mark included.
//! - **Y4 (clean).** A cycle that is given up leaves no mark bit set, nothing condemned, and no mark under way.
//!
//! A cycle is *full* or *minor*. Mark bits stay set from one cycle to the next (H3): what has one is *old*. A
//! full cycle clears them and marks everything anew. A minor one keeps them, so that all that is old is
//! alive for it, dead or not, and marks only what is young:
//!
//! - **K1 (kept).** What an old object of a type that does not change refers to is old: it was marked when
//!   the object was, and the object still refers to the same. So no barrier is needed, and none of these objects
//!   is looked at. Old objects of types that may change ([`MAY_CHANGE`](crate::IObject::MAY_CHANGE)) are gray
//!   when a minor cycle begins, and so are roots in every cycle.
//!
//! The mark of a full cycle may be done in parts, each in a phase of its own that ends with it
//! ([`try_increment`](MarkPhase::try_increment), `incremental.rs`).

use core::any::TypeId;
use core::sync::atomic::fence;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::amount;
use crate::batch::Work;
pub use crate::batch::{
    defer, defer_to_driver, deferred_count_of_driver, has_deferred, has_deferred_of_driver,
    leave_to_reaper, panic_message, run_deferred, run_deferred_of_driver, take_over_from_driver,
    Batch, BatchTicket, LeftUntil, Reclaimed, Remains,
};
pub use crate::claim::CycleClaim;
pub use crate::collector_handle::{CollectorHandle, WeakCollectorHandle};
use crate::error::{CollectError, LockError};
use crate::event::CollectReport;
use crate::eviction::{self, Choice};
pub use crate::eviction::{Candidate, EvictionNotice, EvictionPolicy, Residents, Tally};
use crate::heap::{Heap, SystemFull};
use crate::held;
pub use crate::held::{Bystander, Driving};
use crate::incremental::{
    increments_for, UnderWay, INCREMENT_BYTES, INCREMENT_WORK, STRESS_INCREMENTS, STRESS_WORK,
};
use crate::list::{has_room, try_box};
use crate::no_unwind::no_unwind;
pub use crate::pieces::{PiecesWatch, WatchedPieces};
use crate::protocol::order_marks_after_epochs;
use crate::space::lock::{Attempts, Finish, Hold, Mark};
use crate::space::{Space, SpaceInner};
use crate::visitor::Visitor;
use crate::weak::WeakCell;

mod space;

pub use space::ForCollectors;

/// Who runs the collections that are due: see [`Collector::runner`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runner {
    /// The mutators, at their safepoints.
    Safepoints,
    /// A thread of the collector's. Mutators only do when it is late.
    Driver,
    /// A thread of the collector's that is busy with user code of the dead, for how long nobody knows: mutators do, as
    /// may other threads of the collector's, but leave it what remains.
    BusyDriver,
    /// Nobody: explicit calls, and safepoints after a request.
    Nobody,
}

/// Runs the collections of a space.
///
/// Implemented by `cspace-gc`; given to the space by [`Builder::collector`](crate::Builder::collector).
pub trait Collector: Send + Sync {
    /// A full collection, begun after the call, on this thread. Returns when everything unreachable is
    /// reclaimed, or when its reclaiming was left to a thread that may do it.
    ///
    /// # Errors
    ///
    /// As [`Space::synchronous_gc`].
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError>;

    /// Called by a thread that has come to a safepoint and released the lock, when a collection is
    /// wanted and this thread is the one to run it. May return at once if another thread's cycle serves. A panic goes
    /// on in that thread, after it has taken the lock again.
    fn at_safepoint(&self, space: &Space);

    /// Who runs the collections that are due. Asked often, inside of accesses and in the finish of cycles too; may
    /// change. Must return at once. A panic ends there, and is taken for [`Runner::Safepoints`].
    fn runner(&self) -> Runner {
        Runner::Safepoints
    }

    /// A collection was requested, or the budget passed, or something changed in a space that
    /// [sleeps](ForCollectors::sleep_until_changed). Called on any thread, inside of accesses too: must return at once and
    /// run no user code. A panic ends there.
    fn wake(&self) {}

    /// The space is gone: its last handle was dropped, on this thread. Must not wait for another one. A panic ends
    /// there.
    fn space_gone(&self) {}
}

/// The longest time for which the collector waits for the lock without looking whether to go on.
pub(crate) const SLICE_MAX: Duration = Duration::from_millis(320);

/// How the collector waits for the lock.
#[derive(Clone, Copy)]
pub struct LockWait<'a> {
    /// How long at first, before it looks whether to go on; then for twice as long each time, as who looks loses
    /// its place in the queue.
    pub slice: Duration,
    /// Whether to go on waiting; asked after each slice, with nothing held. It is on the way of a cycle: to collect in
    /// it is an error. A panic of it gives the cycle up.
    pub go_on: &'a dyn Fn() -> bool,
}

impl LockWait<'_> {
    /// Takes it if it is free.
    pub const NONE: LockWait<'static> = LockWait { slice: Duration::ZERO, go_on: &|| false };

    /// Waits for as long as it takes.
    pub const FOREVER: LockWait<'static> =
        LockWait { slice: Duration::from_millis(50), go_on: &|| true };

    /// Asks whether to go on. By a thread that has the claim of a cycle: as in a sweep, to collect is an error rather
    /// than a wait for oneself.
    fn goes_on(&self) -> bool {
        let _sweeping = held::Sweeping::begin();
        (self.go_on)()
    }
}

/// How much a cycle has to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Everything that is reachable: the cycle reclaims all that is not.
    Full,
    /// The cycle is about memory, and does not come of a request: something that is dead may wait for the next
    /// full one. What is old may be taken to be alive, if that saves work, and so may be what increments marked.
    MinorWillDo,
}

/// When a full collection ended, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FullCycle {
    /// Which of those that [began](CollectReport::begun) it was.
    pub begun: u64,
    /// When its sweep ended; cleaners and drops may have run on.
    pub ended: Instant,
    /// How long it took until then, from the beginning of its mark.
    pub cost: Duration,
}

/// A minor cycle pays when there are so many old objects of types that do not change for each that has to be looked at.
const MINOR_FROZEN_MIN: usize = 2;
/// A heap with fewer old objects is marked in no time.
const MINOR_OBJECTS_MIN: usize = 1 << 15;
/// A full cycle is due when what is alive, as far as is known, is more than what the last full one found by this
/// fraction of it, for some of that may be dead.
const MINOR_GROWTH: f64 = 0.5;
/// The same below a limit of the heap, as a part of the room that the last full cycle left.
const MINOR_ROOM: usize = 4;

/// How far a mark has come: only after a whole one may anything be condemned (Y3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    New,
    Marked,
    /// Something that was seen may not have been traced.
    Failed,
}

/// A cycle that holds the space and has condemned nothing yet. Dropped, it is abandoned (Y4): its marks go while the lock
/// is held, then the lock, then the claim.
struct Cycle {
    /// None once the cycle has ended: it has condemned, or left its marks for the next increment.
    lock: Option<CycleLock>,
    /// None once it has gone along with the batch, or the cycle has ended.
    claim: Option<CycleClaim>,
    /// None once it was left for the next increment.
    visitor: Option<Box<Visitor<'static>>>,
    choice: Box<Choice>,
    /// Which of those of the space that began it is.
    number: u64,
    /// Whether somebody asked for the cycle.
    serves: bool,
    is_minor: bool,
    increments: usize,
    /// The cycle finds whatever was changed before it: the flag was taken back (P23).
    finds_all: bool,
    begun: Instant,
}

/// The lock of a space in the mode of its cycle.
enum CycleLock {
    Mark(Hold<CollectorHandle, Mark>),
    Finish(Hold<CollectorHandle, Finish>),
}

impl CycleLock {
    /// Releases it as its mode says.
    fn release(self) {
        match self {
            CycleLock::Mark(hold) => drop(hold),
            CycleLock::Finish(hold) => drop(hold),
        }
    }
}

impl Cycle {
    fn space(&self) -> &Space {
        let claim = self.claim.as_ref();
        claim.expect("taken at the end of a cycle, which consumes its phase").space()
    }

    /// A handle to use beside what changes in the cycle.
    fn handle(&self) -> CollectorHandle {
        self.space().collector_handle()
    }

    fn visitor(&mut self) -> &mut Visitor<'static> {
        own(&mut self.visitor)
    }

    /// Marks what readers rooted or rescued since the last call; returns how many roots and victims there were.
    fn drain_late(&mut self) -> Result<usize, CollectError> {
        let space = self.handle();
        drain_late(&space, own(&mut self.visitor), &mut self.choice)
    }

    /// Tries to go from the mark to the finish; whether it did.
    fn try_finish(&mut self, patience: Duration) -> bool {
        self.lock = match self.lock.take() {
            Some(CycleLock::Mark(hold)) => Some(match hold.try_finish(patience) {
                Ok(hold) => CycleLock::Finish(hold),
                Err(hold) => CycleLock::Mark(hold),
            }),
            lock => lock,
        };
        matches!(self.lock, Some(CycleLock::Finish(_)))
    }

    /// The cycle ends, with nothing to undo: releases the lock.
    fn release(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.release();
        }
    }
}

impl Drop for Cycle {
    fn drop(&mut self) {
        let (Some(lock), Some(claim)) = (self.lock.take(), &self.claim) else { return };
        let (inner, visitor) = (&claim.space().inner, own(&mut self.visitor));
        no_unwind("the end of a cycle that is abandoned", || {
            // SAFETY: the collector holds the space, and no batch of it is being reclaimed (Y1); writers are out, readers
            // do not use mark bits, but for those of weak sets, whose epochs have ended.
            unsafe {
                self.choice.give_up(inner);
                visitor.give_up();
                clear_marks(inner);
                inner.handles().roots.lock().end_mark();
            }
        });
        if self.serves {
            inner.requests().ask_again();
        }
        lock.release();
        if self.finds_all {
            // What it would have found is for another.
            inner.changes().note_and_wake();
        }
    }
}

/// The visitor of a cycle.
fn own<'a>(visitor: &'a mut Option<Box<Visitor<'static>>>) -> &'a mut Visitor<'static> {
    visitor.as_mut().expect("taken at the end of an increment, which consumes the phase")
}

/// The first part of a cycle: the space is held by the upgradable lock.
///
/// Dropped without finishing, the cycle is abandoned (Y4).
pub struct MarkPhase {
    progress: Progress,
    cycle: Cycle,
}

impl MarkPhase {
    /// Takes the upgradable lock. The claim keeps other cycles out (Y1).
    ///
    /// A thread that holds another space does not wait: somebody may wait for that one.
    ///
    /// # Errors
    ///
    /// If this thread is inside of the space, if the lock cannot be had, if `wait` says not to go on, if there is no
    /// memory, or if the claim is stale ([`CollectError::Transferred`]): then claim again.
    pub fn begin(claim: CycleClaim, wait: LockWait<'_>) -> Result<MarkPhase, CollectError> {
        let inner = &claim.space().inner;
        let mut attempts = Attempts::new(inner);
        let mut slice = wait.slice;
        let hold = loop {
            // Each time anew: what was asked whether to go on may have locked, and forgotten, anything.
            let may_wait = held::count() == 0;
            let patience = if may_wait { slice } else { Duration::ZERO };
            let attempted = attempts.attempt(patience, || claim.space().collector_handle());
            let attempted = attempted.map_err(|error| match error {
                LockError::Reentry { space } => CollectError::InsideAccess { space },
                error => error.into(),
            })?;
            if let Some(hold) = attempted {
                break hold;
            }
            slice = slice.saturating_mul(2).min(SLICE_MAX.max(wait.slice));
            // Where nobody but collectors has a handle, nobody has a guard: it was forgotten, and its thread lives.
            let is_abandoned = || inner.collector_handles.are_all(|| Arc::strong_count(inner));
            if inner.is_leaked() || is_abandoned() {
                return Err(LockError::LockLeaked { space: inner.name() }.into());
            }
            if claim.is_stale() {
                return Err(CollectError::Transferred { space: inner.name() });
            }
            if !may_wait {
                inner.requests().request();
            } else if wait.goes_on() {
                continue;
            }
            return Err(CollectError::Busy { space: inner.name() });
        };
        drop(attempts);
        if !claim.begin() {
            return Err(CollectError::Transferred { space: inner.name() });
        }
        let serves = inner.requests().serve();
        order_marks_after_epochs();
        let (Some(visitor), Ok(choice)) = (new_visitor(inner), try_box(Choice::default())) else {
            if serves {
                inner.requests().ask_again();
            }
            return Err(CollectError::NoMemory { what: "what it marks" });
        };
        let number = inner.cycles_begun.fetch_add(1, Relaxed) + 1;
        let cycle = Cycle {
            lock: Some(CycleLock::Mark(hold)),
            claim: Some(claim),
            visitor: Some(visitor),
            choice,
            number,
            serves,
            is_minor: false,
            increments: 0,
            finds_all: false,
            begun: Instant::now(),
        };
        Ok(MarkPhase { progress: Progress::New, cycle })
    }

    /// Whether anything that is dead may be kept: nobody asked for the cycle, and no allocation was denied.
    fn may_keep(&self, inner: &SpaceInner) -> bool {
        !self.cycle.serves && !inner.requests().is_lacking()
    }

    /// Does a part of the mark and ends the phase, if that is what is due: the space has so many objects that to
    /// mark all at once would keep writers out for long, and the budget leaves time to do it in parts. If not,
    /// gives the phase back, for a whole cycle ([`Extent::MinorWillDo`]), which goes on with what was marked.
    ///
    /// # Errors
    ///
    /// As [`mark`](MarkPhase::mark).
    ///
    /// # Panics
    ///
    /// After a mark.
    pub fn try_increment(mut self) -> Result<Option<MarkPhase>, CollectError> {
        assert!(self.progress == Progress::New, "a cycle marks once");
        let space = self.cycle.handle();
        let inner = &space.inner;
        // SAFETY: the phase holds the space (I1).
        if !self.may_keep(inner) || unsafe { !inner.increment_is_due() } {
            return Ok(Some(self));
        }
        self.progress = Progress::Failed;
        // SAFETY: as above.
        let count = match unsafe { inner.incremental().take() } {
            Some(under_way) => {
                self.cycle.visitor.insert(under_way.visitor).begin_increment();
                under_way.count
            }
            None => {
                // SAFETY: the phase holds the space, and no batch is out (Y1).
                unsafe { clear_marks(inner) };
                self.show_roots()?;
                0
            }
        };
        let work = if inner.is_stress() { STRESS_WORK } else { INCREMENT_WORK };
        // SAFETY: roots name objects (R1); the graph is frozen (Y2).
        caught(own(&mut self.cycle.visitor), |visitor| unsafe { visitor.drain_some(work) })?;
        no_unwind("the hand-over of an incremental mark", || {
            self.cycle.visitor().end_increment();
            if let Some(visitor) = self.cycle.visitor.take() {
                // SAFETY: as above; nothing waits in the visitor but on its stack (I2).
                unsafe { inner.incremental().put(UnderWay { visitor, count: count + 1 }) };
            }
            let counters = inner.counters();
            let next = amount::sum([counters.spent(), INCREMENT_BYTES]);
            counters.budget.store(next.min(inner.incremental().whole_budget()), Relaxed);
            counters.over_budget.store(false, Relaxed);
        });
        // What was charged meanwhile told of the budget before.
        inner.tell_if_over_budget();
        self.end_increment(inner);
        Ok(None)
    }

    /// Gives up the lock and the claim; what was marked stays.
    fn end_increment(mut self, inner: &SpaceInner) {
        let pause = self.cycle.begun.elapsed();
        let claim = self.cycle.claim.take();
        self.cycle.release();
        let mut stats = inner.stats.lock();
        stats.increments += 1;
        stats.pause_max = stats.pause_max.max(pause);
        stats.pause_total = stats.pause_total.saturating_add(pause);
        stats.pauses.note(pause);
        drop(stats);
        drop(claim);
    }

    /// Marks everything that roots and owned roots reach; chooses which evictable objects to let go of, and marks
    /// the others and what they reach.
    ///
    /// # Errors
    ///
    /// If a `visit_objects` panicked, or there was [no memory](CollectError::NoMemory) for what cannot be done without.
    /// The cycle cannot go on; drop it.
    ///
    /// # Panics
    ///
    /// When called again.
    pub fn mark(&mut self) -> Result<(), CollectError> {
        self.mark_as(Extent::Full)
    }

    /// As [`mark`](MarkPhase::mark), of a full or a minor cycle. One that was [requested](Space::request_gc), or follows
    /// an allocation that was denied, is full, whatever would do.
    ///
    /// # Errors
    ///
    /// As [`mark`](MarkPhase::mark).
    ///
    /// # Panics
    ///
    /// As [`mark`](MarkPhase::mark).
    pub fn mark_as(&mut self, extent: Extent) -> Result<(), CollectError> {
        assert!(self.progress == Progress::New, "a cycle marks once");
        self.progress = Progress::Failed;
        let space = self.cycle.handle();
        let inner = &space.inner;
        let may_keep = extent == Extent::MinorWillDo && self.may_keep(inner);
        // SAFETY: the phase holds the space (I1).
        match unsafe { inner.incremental().take() } {
            // What became evictable since the mark began may be marked for what held it then.
            Some(under_way) if may_keep && !inner.eviction().wants_full_mark() => {
                self.cycle.visitor = Some(under_way.visitor);
                self.cycle.increments = under_way.count;
            }
            _ => self.cycle.is_minor = may_keep && inner.minor_cycle_pays(),
        }
        if !self.cycle.is_minor && self.cycle.increments == 0 {
            self.cycle.finds_all = true;
            // Before anything is looked at.
            inner.changes().flag().begin_cycle();
            // ORDERING: with the fence in `home::note_dropped`: what was let go of and is not noted from here on, the mark
            // sees (P23).
            fence(Ordering::SeqCst);
        }
        self.mark_all()?;
        self.progress = Progress::Marked;
        Ok(())
    }

    fn mark_all(&mut self) -> Result<(), CollectError> {
        let space = self.cycle.handle();
        let inner = &space.inner;
        // SAFETY: the phase holds the space, and no batch is out (Y1); readers do not use mark bits, but for those
        // of weak sets, whose epochs have ended.
        unsafe {
            let visitor = own(&mut self.cycle.visitor);
            if self.cycle.is_minor {
                let count = inner.counters().old.objects();
                visitor.begin_minor(&*inner.heap(), count);
            } else if self.cycle.increments > 0 {
                visitor.begin_last_increment(&*inner.heap());
            } else {
                clear_marks(inner);
            }
        }
        inner.handles().roots.lock().begin_mark();
        self.show_roots()?;
        let choice = &mut self.cycle.choice;
        // SAFETY: what roots name are objects (R1); the graph is frozen (Y2).
        caught(own(&mut self.cycle.visitor), |visitor| unsafe {
            inner.eviction().mark_evicted(visitor);
            visitor.drain();
            choice.run(visitor, inner);
        })
    }

    /// Shows the visitor all roots and owned values, whose handles name the space's home afterwards.
    ///
    /// # Errors
    ///
    /// As [`mark`](MarkPhase::mark).
    fn show_roots(&mut self) -> Result<(), CollectError> {
        let space = self.cycle.handle();
        let inner = &space.inner;
        // SAFETY: the phase holds the upgradable lock.
        let home = unsafe { inner.home() }.id();
        let handles = inner.handles();
        let roots = handles.roots.lock().snapshot();
        let owned = handles.owned.lock().live(home);
        let (Some(roots), Some(owned)) = (roots, owned) else {
            return Err(CollectError::NoMemory { what: "its roots" });
        };
        // SAFETY: the space keeps its home; the root set is the collector's while it holds the upgradable lock, so
        // that nobody writes owned values either (O1).
        caught(own(&mut self.cycle.visitor), |visitor| unsafe {
            let should_shrink = roots.for_each_at_home(home, |object| visitor.edge_any(object));
            if should_shrink {
                handles.roots.lock().shrink();
            }
            for object in inner.root_set().iter() {
                visitor.edge_any(object);
            }
            handles.forget_followers();
            for cell in owned {
                cell.visit(visitor);
            }
            // What owned values own is not given back by collections, so it is no reason for them.
            visitor.forget_bytes();
        })
    }

    /// Marks what readers rooted or rescued since the last call; returns how many roots and victims there were.
    ///
    /// # Errors
    ///
    /// As [`mark`](MarkPhase::mark).
    ///
    /// # Panics
    ///
    /// If the mark was not done, or failed.
    pub fn drain_late(&mut self) -> Result<usize, CollectError> {
        self.assert_marked();
        self.progress = Progress::Failed;
        let late = self.cycle.drain_late()?;
        self.progress = Progress::Marked;
        Ok(late)
    }

    #[track_caller]
    fn assert_marked(&self) {
        match self.progress {
            Progress::Marked => {}
            Progress::New => panic!("nothing is marked yet: call `mark` first"),
            Progress::Failed => panic!("the mark failed: drop the phase, which gives the cycle up"),
        }
    }

    /// Whether a thread ended while it held the space: then nobody will ever get everybody out.
    pub fn is_leaked(&self) -> bool {
        self.cycle.space().inner.is_leaked()
    }

    /// The error for a cycle that cannot get everybody out.
    pub fn give_up(self) -> CollectError {
        let inner = &self.cycle.space().inner;
        if inner.is_leaked() {
            return LockError::LockLeaked { space: inner.name() }.into();
        }
        inner.requests().request();
        CollectError::Busy { space: inner.name() }
    }

    /// Tries to get everybody out for at most `patience`. New readers wait meanwhile.
    ///
    /// # Errors
    ///
    /// Gives the phase back if readers stayed.
    ///
    /// # Panics
    ///
    /// If the mark was not done, or failed.
    pub fn try_finish(mut self, patience: Duration) -> Result<FinishPhase, MarkPhase> {
        self.assert_marked();
        if !self.cycle.try_finish(patience) {
            return Err(self);
        }
        Ok(FinishPhase { cycle: self.cycle, begun: Instant::now() })
    }
}

/// Nothing is old any more.
///
/// # Safety
///
/// The caller holds the space as its collector, or is destroying it, and no batch of it is being reclaimed.
pub(crate) unsafe fn clear_marks(inner: &SpaceInner) {
    inner.counters().old.forget();
    // SAFETY: the caller's promise (I1).
    drop(unsafe { inner.incremental().take() });
    // SAFETY: nobody changes the heap's lists while the collector holds the space, though readers may
    // count its objects; the mark bits are the collector's (H3).
    unsafe {
        (*inner.heap()).each_span(|span| {
            span.bits().0.clear();
        });
    }
}

/// A visitor for a mark, unless there is no memory.
fn new_visitor(inner: &SpaceInner) -> Option<Box<Visitor<'static>>> {
    let mut visitor = try_box(Visitor::marking()).ok()?;
    visitor.begin(inner.is_stress()).then_some(visitor)
}

/// Runs code that calls `visit_objects`.
fn caught<R>(
    visitor: &mut Visitor<'static>,
    f: impl FnOnce(&mut Visitor<'static>) -> R,
) -> Result<R, CollectError> {
    let result = catch_unwind(AssertUnwindSafe(|| f(visitor)))
        .map_err(|panic| CollectError::VisitPanicked { message: panic_message(panic) })?;
    if visitor.has_failed() {
        return Err(CollectError::NoMemory { what: "what it found" });
    }
    Ok(result)
}

/// By a phase, which holds the space.
fn drain_late(
    space: &Space,
    visitor: &mut Visitor<'static>,
    choice: &mut Choice,
) -> Result<usize, CollectError> {
    let handles = space.inner.handles();
    let late = handles.roots.lock().take_late();
    let all = match late {
        Some(_) => None,
        // Of those that were not noted nobody knows, so all are shown.
        None => {
            let all = handles.roots.lock().snapshot();
            Some(all.ok_or(CollectError::NoMemory { what: "its roots" })?)
        }
    };
    // SAFETY: the space keeps its home; roots name objects (R1); the graph is frozen (Y2).
    caught(visitor, |visitor| unsafe {
        let mut count = 0;
        if let Some(late) = &late {
            count = late.for_each(|object| visitor.edge_any(object));
        }
        if let Some(all) = &all {
            all.for_each(|object| visitor.edge_any(object));
        }
        visitor.drain();
        count + choice.keep_late(visitor, space.inner.eviction())
    })
}

/// The second part of a cycle: the space is held exclusively, and nobody has access.
///
/// Dropped without condemning, the cycle is abandoned (Y4).
pub struct FinishPhase {
    cycle: Cycle,
    /// When everybody was out; the cycle began earlier.
    begun: Instant,
}

impl FinishPhase {
    /// Marks what the last readers rooted or rescued, clears weak references, and condemns what is not marked.
    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// As [`mark`](MarkPhase::mark), or if there is no memory for the list of what is to be swept; the cycle is given up
    /// then.
    pub fn condemn(mut self) -> Result<(Batch, CollectReport), CollectError> {
        let space = self.cycle.handle();
        let inner = &space.inner;
        // The only user code of the finish, and all that may fail.
        self.cycle.drain_late()?;
        let mut work = Box::<Work>::default();
        // SAFETY: the collector holds the space exclusively.
        let reserved =
            unsafe { (*inner.heap()).reserve_detached(&mut work.spans, &mut work.waiting) };
        reserved.map_err(|SystemFull| CollectError::NoMemory { what: "what is to be swept" })?;
        if !has_room(&mut work.due, inner.counters().cleanups.len()) {
            return Err(CollectError::NoMemory { what: "the cleaners of the dead" });
        }
        // Marking is complete (Y3). From the first reference that is cleared to the batch that owns the spans nothing
        // can be undone.
        let is_late = self.cycle.choice.has_rescued();
        let (batch, objects_before, residents) =
            no_unwind("the finish of a cycle", || self.cycle.condemn_marked(inner, work));
        let (finish, cycle) = (self.begun.elapsed(), &mut self.cycle);
        let report = CollectReport {
            begun: cycle.number,
            is_minor: cycle.is_minor,
            increments: cycle.increments,
            objects_live: cycle.visitor().marked_count(),
            objects_reclaimed: objects_before.saturating_sub(cycle.visitor().marked_count()),
            bytes_external: cycle.visitor().external_bytes(),
            objects_evicted: residents.evicted.count,
            bytes_evicted: residents.evicted.bytes,
            pause: cycle.begun.elapsed(),
            finish,
            is_short_of_memory: cycle.visitor().refused() > 0,
            ..CollectReport::default()
        };
        cycle.release();
        if residents.evicted.count > 0 || is_late {
            // What victims that were seen late, or are to be delivered, leave is found by another cycle; and what was
            // rescued has to give way to others.
            inner.changes().note_and_wake();
        }
        eviction::note(inner, &residents);
        Ok((batch, report))
    }
}

impl Cycle {
    /// Clears weak references, and takes out what is not marked, as a batch; returns also how many objects there were, and
    /// which are resident. `work` has room for all spans.
    fn condemn_marked(
        &mut self,
        inner: &SpaceInner,
        mut work: Box<Work>,
    ) -> (Batch, usize, Residents) {
        let visitor = own(&mut self.visitor);
        visitor.end_mark();
        for cell in visitor.weak_cells.drain(..) {
            // SAFETY: a reachable object of the space, nobody changes it.
            unsafe { (*cell).clear_if_dead() };
        }
        if visitor.has_unlisted_weak_cells {
            // SAFETY: the collector holds the space exclusively; weak cells that are marked are there.
            unsafe { clear_weak_cells(&*inner.heap()) };
        }
        for (place, clear) in visitor.at_finish.drain(..) {
            // SAFETY: pushed together in this cycle; the place was reached, so it is there.
            unsafe { clear(place) };
        }
        // SAFETY: visited in this cycle, nobody has access; the batch before was reclaimed, filters
        // first (Y1).
        work.filters.extend(visitor.weak_sets.drain(..).map(|set| unsafe { set.flip() }));
        // SAFETY: the collector holds the space exclusively.
        let home = Arc::clone(unsafe { inner.home() });
        work.dropped = inner.handles().owned.lock().take_dropped();
        work.cleanups = inner.counters().cleanups.detach();
        home.ledger.note_objects();
        let (memory, counters) = (inner.memory(), inner.counters());
        // SAFETY: as above.
        let objects_before = unsafe {
            let heap = memory.heap();
            let objects_before = inner.count_objects();
            (*heap).detach(&mut work.spans, &mut work.waiting);
            work.mappings = (*heap).take_retired();
            objects_before
        };
        counters.objects.store(visitor.marked_count(), Relaxed);
        counters.external.store(visitor.external_bytes(), Relaxed);
        counters.old.begin_count(self.is_minor, self.increments);
        // What the batch will free stays counted until it does (LG2). To plan by, the share of objects that are alive
        // stands for the bytes that are, until the sweep has counted.
        counters.bytes.finish();
        counters.charged_since.store(0, Relaxed);
        counters.adopted_slack.store(0, Relaxed);
        let share = visitor.marked_count() as f64 / objects_before.max(1) as f64;
        let live_estimate = amount::scaled(counters.bytes.live(), share);
        counters.live_estimate.store(live_estimate, Relaxed);
        inner.plan();
        inner.handles().roots.lock().end_mark();
        // SAFETY: as above; all marking is done.
        let residents = unsafe { self.choice.end(inner) };
        counters.old.evictable.store(residents.resident().count, Relaxed);
        let batch = Batch {
            home,
            claim: self.claim.take(),
            work,
            live_estimate,
            poison_freed: memory.poison_freed,
            last: None,
            done: false,
        };
        (batch, objects_before, residents)
    }
}

/// Clears all weak cells that are marked and whose targets are not: there was no memory to list them.
///
/// # Safety
///
/// The caller is in the finish of the heap's space, after all marking.
#[cold]
unsafe fn clear_weak_cells(heap: &Heap) {
    heap.each_span(|span| {
        // SAFETY: the caller's promise; where a mark bit is set in a span of weak cells there is one.
        unsafe {
            if span.info().type_id == TypeId::of::<WeakCell>() {
                span.for_each_marked(|cell| (*cell.cast::<WeakCell>()).clear_if_dead());
            }
        }
    });
}

impl Batch {
    /// A handle of the space whose cycle condemned the batch.
    fn handle(&self) -> CollectorHandle {
        let claim = self.claim.as_ref();
        claim.expect("only the last batch of a space has none").space().collector_handle()
    }

    /// Reclaims the batch on this thread and completes its cycle: all that is to be done after
    /// [`condemn`](FinishPhase::condemn), in the order in which others may see it. It sweeps, releases the claim, runs what
    /// remains, counts the cycle, tells the listeners, delivers evicted objects if the lock is free, and does what the
    /// thread left for when it holds nothing. Returns the report, with what came of all that.
    ///
    /// For collectors that leave nothing to other threads. The others go by [`sweep_recording`](Batch::sweep_recording)
    /// and [`run_recording`](Remains::run_recording).
    ///
    /// ```
    /// use cspace_core::collector::{ForCollectors, LockWait, MarkPhase};
    /// use cspace_core::Space;
    /// use std::time::Duration;
    ///
    /// let space = Space::builder().build()?;
    /// space.exclusive(|cx| cx.alloc("garbage".to_string()).addr());
    /// let mut phase = MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER)?;
    /// phase.mark()?;
    /// let finish = phase.try_finish(Duration::from_secs(1)).ok().expect("nobody is inside");
    /// let (batch, report) = finish.condemn()?;
    /// let report = batch.complete(report).ok().expect("this thread holds nothing");
    /// assert_eq!((report.cycle, report.objects_reclaimed), (1, 1));
    /// assert_eq!(space.total_num_completed_gcs(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`reclaim`](Batch::reclaim).
    pub fn complete(self, mut report: CollectReport) -> Result<CollectReport, Batch> {
        if !Batch::can_reclaim() {
            return Err(self);
        }
        let space = self.handle();
        let remains = self.sweep_recording(&mut report);
        match remains.run_recording(&mut report) {
            Ok(reclaimed) => space.announce(&report, &reclaimed),
            Err(_) => unreachable!("a sweep runs no user code, so this thread may as before"),
        }
        space.deliver_evicted(LockWait::NONE);
        drop(space);
        run_deferred();
        Ok(report)
    }

    /// As [`sweep`](Batch::sweep), and records in `report` what the sweep came to, before the claim is released: who waits
    /// for that sees the report. If nothing remains the cycle is counted then too; else
    /// [`run_recording`](Remains::run_recording) counts it.
    pub fn sweep_recording(self, report: &mut CollectReport) -> Remains {
        self.sweep_recording_then(report, |_| ())
    }

    /// As [`sweep_recording`](Batch::sweep_recording), and calls `then` when that is done, before the claim is released: who
    /// runs what remains may be found a place in a queue, before that of whatever later cycles leave.
    pub fn sweep_recording_then(
        self,
        report: &mut CollectReport,
        then: impl FnOnce(&Remains),
    ) -> Remains {
        let space = self.handle();
        let begun = Instant::now();
        self.sweep_then(|remains| {
            report.sweep = begun.elapsed();
            if remains.is_empty() {
                space.note_cycle(report, remains.reclaimed());
            } else {
                space.note_sweep(report, remains.reclaimed());
            }
            then(remains);
        })
    }
}

impl Remains {
    /// As [`run`](Remains::run), and counts the cycle, with `report`, before it lets go of the space; if it was counted
    /// before, adds what cleaners and drops came to. [`announce`](ForCollectors::announce) it afterwards.
    ///
    /// # Errors
    ///
    /// As [`run`](Remains::run).
    pub fn run_recording(self, report: &mut CollectReport) -> Result<Reclaimed, Box<Remains>> {
        let Some(space) = self.space().map(Space::collector_handle) else { return self.run() };
        let begun = Instant::now();
        self.run_then(|reclaimed| {
            let is_counted = report.cycle != 0;
            if is_counted {
                space.note_remains(report, reclaimed);
            } else {
                report.sweep = report.sweep.saturating_add(begun.elapsed());
                space.note_cycle(report, reclaimed);
            }
        })
    }
}

impl SpaceInner {
    /// Whether the mark of the next cycle begins, or goes on, with an increment.
    ///
    /// # Safety
    ///
    /// The caller may touch the mark that is under way (I1).
    unsafe fn increment_is_due(&self) -> bool {
        let counters = self.counters();
        let stress = self.is_stress();
        // The choice of what to evict goes by what is reachable.
        if self.eviction().wants_full_mark() {
            return false;
        }
        // SAFETY: the caller's promise.
        let under_way = unsafe {
            self.incremental()
                .with(|mark| mark.visitor.has_gray() && (!stress || mark.count < STRESS_INCREMENTS))
        };
        if let Some(goes_on) = under_way {
            return goes_on && (stress || counters.spent() < self.incremental().whole_budget());
        }
        if stress {
            // To find what increments miss: before every full cycle, where they may be.
            return self.has_incremental_marks()
                && counters.old.is_known.load(Relaxed)
                && counters.old.evictable.load(Relaxed) == 0
                && !self.minor_cycle_pays();
        }
        counters.spent() < self.incremental().whole_budget() && self.increments_ahead() > 0
    }

    /// How many increments the mark of the next cycle is worth.
    pub(crate) fn increments_ahead(&self) -> usize {
        let old = &self.counters().old;
        let may_be = self.has_incremental_marks()
            && old.is_known.load(Relaxed)
            // The choice of what to evict goes by what is reachable.
            && old.evictable.load(Relaxed) == 0
            && !self.eviction().wants_full_mark()
            && self.has_memory_to_spare()
            && !self.minor_cycle_pays();
        if !may_be {
            return 0;
        }
        increments_for(old.objects(), old.unseen.load(Relaxed))
    }

    /// Near its limit a heap needs every byte, and nothing that is dead may wait.
    fn has_memory_to_spare(&self) -> bool {
        let counters = self.counters();
        counters.allocated_estimate() <= self.heap_bytes_max() / 2
            && !counters.has_limit.load(Relaxed)
    }

    /// Whether a minor cycle is possible, and less work than a full one.
    pub(crate) fn minor_cycle_pays(&self) -> bool {
        let counters = self.counters();
        let old = &counters.old;
        // The choice of what to evict goes by what is reachable: an old object that has become evictable may be held
        // by nothing else any more.
        if !self.has_minor_cycles()
            || !old.is_known.load(Relaxed)
            || old.evictable.load(Relaxed) > 0
            || self.eviction().wants_full_mark()
        {
            return false;
        }
        // To find objects that nobody keeps alive, every other cycle is enough.
        if self.is_stress() {
            return !old.was_minor.load(Relaxed);
        }
        let (frozen, changing) = (old.frozen.load(Relaxed), old.changing.load(Relaxed));
        let full_bytes = old.full_bytes.load(Relaxed);
        let room = self.heap_bytes_max().saturating_sub(full_bytes);
        let growth = amount::scaled(full_bytes, MINOR_GROWTH).min(room / MINOR_ROOM);
        frozen + changing >= MINOR_OBJECTS_MIN
            && frozen / MINOR_FROZEN_MIN >= changing
            && counters.live_estimate.load(Relaxed) <= full_bytes.saturating_add(growth)
            && !counters.has_limit.load(Relaxed)
    }
}

impl Space {
    /// Whether this thread is inside of the space.
    pub fn is_inside(&self) -> bool {
        held::holds(self.inner.id())
    }
}
