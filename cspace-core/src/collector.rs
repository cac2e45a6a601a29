//! The seam between a space and its collector: the phases of a cycle as types.
//!
//! ```text
//! MarkPhase   upgradable lock: readers go on, writers wait, the graph is frozen
//!   │  mark()              roots, owned roots, everything that they reach
//!   │  drain_late()        what readers rooted meanwhile
//!   │  try_finish(…)       bounded attempts to get everybody out
//!   ▼
//! FinishPhase exclusive lock, nobody has access
//!   │  last roots, weak cells, weak sets flipped, stacks cleared, spans detached
//!   ▼
//! Batch       no lock: reclaim
//! ```
//!
//! A collector (the crate `cspace-gc`) decides when a cycle runs, on which thread and with how much
//! patience; the phases here decide what is sound.
//!
//! - **Y1 (one).** A space has at most one cycle at a time, from the mark to the end of the reclaiming
//!   of its batch; so mark bits have one user (H3).
//! - **Y2 (frozen).** Between the beginning of the mark and the finish nobody changes an object:
//!   exclusive accesses wait for the upgradable lock.
//! - **Y3 (complete).** When the finish condemns, every object that a root reaches is marked, roots made
//!   during the mark included.
//! - **Y4 (clean).** A cycle that is given up leaves no mark bit set and nothing condemned.

use core::sync::atomic::Ordering::Relaxed;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use parking_lot::lock_api::{
    RawRwLockFair as _, RawRwLockUpgrade as _, RawRwLockUpgradeFair as _,
    RawRwLockUpgradeTimed as _,
};

pub use crate::batch::{defer, panic_message, run_deferred, Batch, Reclaimed};
use crate::error::{CollectError, LockError};
use crate::event::{CollectReport, Event};
use crate::held;
use crate::space::Space;
pub use crate::verify::verify;
use crate::verify::VerifyReport;
use crate::visitor::Visitor;

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
    /// wanted. May return at once if another thread's cycle serves.
    fn at_safepoint(&self, space: &Space);

    /// Checks the whole heap while no cycle runs; see [`Space::verify`].
    ///
    /// # Errors
    ///
    /// As [`Space::synchronous_gc`].
    fn verify(&self, space: &Space) -> Result<VerifyReport, CollectError>;
}

/// How long the collector waits for the lock before it looks whether the lock was leaked.
const LEAK_CHECK: Duration = Duration::from_millis(50);

/// The first part of a cycle: the space is held by the upgradable lock.
///
/// Dropped without finishing, the cycle is given up (Y4).
pub struct MarkPhase<'s> {
    space: &'s Space,
    visitor: Box<Visitor<'s>>,
    begun: Instant,
    held: bool,
}

impl<'s> MarkPhase<'s> {
    /// Takes the upgradable lock.
    ///
    /// # Safety
    ///
    /// The caller runs at most one cycle of the space at a time, and the batch of the one before is
    /// reclaimed (Y1).
    ///
    /// # Errors
    ///
    /// If this thread is inside of the space, or the lock was leaked.
    pub unsafe fn begin(space: &'s Space) -> Result<MarkPhase<'s>, CollectError> {
        let inner = &space.inner;
        if held::note(inner.id(), false).is_err() {
            return Err(CollectError::InsideAccess { space: inner.name() });
        }
        let waiting = inner.wait_for_lock();
        while !inner.raw_lock().try_lock_upgradable_for(LEAK_CHECK) {
            if inner.is_leaked() {
                held::forget(inner.id());
                return Err(LockError::LockLeaked { space: inner.name() }.into());
            }
        }
        drop(waiting);
        inner.serve_requests();
        Ok(MarkPhase {
            space,
            visitor: Box::new(Visitor::marking()),
            begun: Instant::now(),
            held: true,
        })
    }

    /// Marks everything that roots and owned roots reach.
    ///
    /// # Errors
    ///
    /// If a `visit_objects` panicked. The cycle cannot go on; drop it.
    pub fn mark(&mut self) -> Result<(), CollectError> {
        let inner = &self.space.inner;
        let home = inner.home();
        let visitor = &mut self.visitor;
        caught(|| {
            let roots = home.roots.lock().begin_mark();
            // SAFETY: the space keeps its home; roots name objects (R1); the graph is frozen (Y2); the
            // collector holds the space, so that nobody writes owned values (O1); the root set is the
            // collector's while it holds the upgradable lock.
            unsafe {
                roots.for_each(|object| visitor.edge_any(object));
                for object in inner.root_set().iter() {
                    visitor.edge_any(*object);
                }
                let owned = home.owned.lock().live();
                for cell in owned {
                    cell.visit(visitor);
                }
                visitor.drain();
            }
        })
    }

    /// Marks what readers rooted since the last call; returns how many roots there were.
    ///
    /// # Errors
    ///
    /// As [`mark`](MarkPhase::mark).
    pub fn drain_late(&mut self) -> Result<usize, CollectError> {
        drain_late(self.space, &mut self.visitor)
    }

    /// Tries to get everybody out for at most `patience`; `None` waits for as long as it takes.
    ///
    /// # Errors
    ///
    /// Gives the phase back if readers stayed.
    pub fn try_finish(
        mut self,
        patience: Option<Duration>,
    ) -> Result<FinishPhase<'s>, MarkPhase<'s>> {
        let lock = self.space.inner.raw_lock();
        // SAFETY: the phase holds the upgradable lock.
        let upgraded = unsafe {
            match patience {
                Some(patience) => lock.try_upgrade_for(patience),
                None => {
                    lock.upgrade();
                    true
                }
            }
        };
        if !upgraded {
            return Err(self);
        }
        self.held = false;
        let visitor = core::mem::replace(&mut self.visitor, Box::new(Visitor::recording()));
        Ok(FinishPhase {
            space: self.space,
            visitor,
            begun: self.begun,
            finish_begun: Instant::now(),
            held: true,
        })
    }
}

impl Drop for MarkPhase<'_> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let inner = &self.space.inner;
        // SAFETY: the collector holds the space; writers are out, readers do not use mark bits, but for
        // those of weak sets, whose epochs have ended.
        unsafe { clear_marks(self.space) };
        inner.home().roots.lock().end_mark();
        held::forget(inner.id());
        // SAFETY: the phase holds the upgradable lock.
        unsafe { inner.raw_lock().unlock_upgradable_fair() };
    }
}

/// # Safety
///
/// The collector holds the space, and no batch of it is being reclaimed.
unsafe fn clear_marks(space: &Space) {
    // SAFETY: the heap's lists are the collector's while it holds the space; the mark bits always (H3).
    unsafe {
        for span in (*space.inner.heap()).spans() {
            for word in span.words().0 {
                word.store(0, Relaxed);
            }
        }
    }
}

/// Runs code that calls `visit_objects`.
fn caught<R>(f: impl FnOnce() -> R) -> Result<R, CollectError> {
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|panic| CollectError::VisitPanicked { message: panic_message(panic) })
}

fn drain_late(space: &Space, visitor: &mut Visitor<'_>) -> Result<usize, CollectError> {
    let late = space.inner.home().roots.lock().take_late();
    caught(|| {
        for object in &late {
            visitor.edge_any(*object);
        }
        // SAFETY: roots name objects (R1); the graph is frozen (Y2).
        unsafe { visitor.drain() };
        late.len()
    })
}

/// The second part of a cycle: the space is held exclusively, and nobody has access.
///
/// Dropped without condemning, the cycle is given up (Y4).
pub struct FinishPhase<'s> {
    space: &'s Space,
    visitor: Box<Visitor<'s>>,
    begun: Instant,
    finish_begun: Instant,
    held: bool,
}

impl FinishPhase<'_> {
    /// Marks what the last readers rooted, clears weak references, and condemns what is not marked.
    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// If a `visit_objects` panicked; the cycle is given up then.
    pub fn condemn(mut self) -> Result<(Batch, CollectReport), CollectError> {
        // The only user code of the finish.
        drain_late(self.space, &mut self.visitor)?;
        let inner = &self.space.inner;
        let memory = inner.memory();
        // Marking is complete (Y3); from here on nothing can panic.
        for cell in self.visitor.weak_cells.drain(..) {
            // SAFETY: a reachable object of the space, nobody changes it.
            unsafe { (*cell).clear_if_dead() };
        }
        for (place, clear) in self.visitor.at_finish.drain(..) {
            // SAFETY: pushed together in this cycle; the place was reached, so it is there.
            unsafe { clear(place) };
        }
        // SAFETY: visited in this cycle, nobody has access; the batch before was reclaimed, filters
        // first (Y1).
        let filters = self.visitor.weak_sets.drain(..).map(|set| unsafe { set.flip() }).collect();
        let mappings = core::mem::take(&mut *memory.retired_mappings.lock());
        let dropped = inner.home().owned.lock().take_dropped();
        let counters = inner.counters();
        // SAFETY: the collector holds the space exclusively.
        let (objects_before, spans) = unsafe { (inner.count_objects(), (*memory.heap()).detach()) };
        counters.objects.store(self.visitor.marked_count(), Relaxed);
        let external = self.visitor.external_bytes();
        counters.external.store(external, Relaxed);
        // What is alive is known by its bytes when the sweep has counted; until then the share of
        // objects that are alive stands for it.
        let allocated = counters.live.load(Relaxed) + counters.handed_out.swap(0, Relaxed);
        let share = self.visitor.marked_count() as f64 / objects_before.max(1) as f64;
        counters.live.store((allocated as f64 * share) as usize, Relaxed);
        counters.budget.store(inner.budget(), Relaxed);
        inner.home().roots.lock().end_mark();
        let batch =
            Batch { memory: memory.clone(), spans, filters, dropped, mappings, last: false };
        let report = CollectReport {
            objects_live: self.visitor.marked_count(),
            objects_reclaimed: objects_before.saturating_sub(self.visitor.marked_count()),
            bytes_external: external,
            pause: self.begun.elapsed(),
            finish: self.finish_begun.elapsed(),
            ..CollectReport::default()
        };
        self.release();
        Ok((batch, report))
    }

    fn release(&mut self) {
        let inner = &self.space.inner;
        inner.settle_want();
        self.held = false;
        held::forget(inner.id());
        // SAFETY: the phase holds the exclusive lock.
        unsafe { inner.raw_lock().unlock_exclusive_fair() };
    }
}

impl Drop for FinishPhase<'_> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        // SAFETY: the collector holds the space exclusively, and no batch is being reclaimed (Y1).
        unsafe { clear_marks(self.space) };
        self.space.inner.home().roots.lock().end_mark();
        self.release();
    }
}

impl Space {
    /// Whether a collection is asked for. For collectors.
    pub fn wants_collection(&self) -> bool {
        self.inner.wants_collection()
    }

    /// Whether this thread may wait for another's cycle: it holds no space whose access a drop of that
    /// cycle may be waiting for. For collectors.
    pub fn may_wait_for_cycle() -> bool {
        Batch::can_reclaim()
    }

    /// Whether this thread runs drops of a sweep. For collectors.
    pub fn is_sweeping() -> bool {
        held::is_sweeping()
    }

    /// Whether this thread is inside of the space.
    pub fn is_inside(&self) -> bool {
        held::holds(self.inner.id())
    }

    /// Notes a cycle that was completed: counts it, and adjusts the budget to what is alive. For
    /// collectors; [`announce`](Space::announce) it afterwards, when other cycles may run.
    pub fn note_cycle(&self, report: &mut CollectReport, reclaimed: &Reclaimed) {
        let inner = &self.inner;
        inner.counters().budget.store(inner.budget(), Relaxed);
        report.bytes_live = reclaimed.bytes_live;
        report.drop_panics = reclaimed.drop_panics.len();
        report.cycle = inner.cycles.fetch_add(1, Relaxed) + 1;
        let mut stats = inner.stats.lock();
        stats.cycles += 1;
        stats.objects_reclaimed += report.objects_reclaimed as u64;
        stats.drop_panics += reclaimed.drop_panics.len() as u64;
        stats.pause_max = stats.pause_max.max(report.pause);
        stats.pause_total += report.pause;
        stats.finish_max = stats.finish_max.max(report.finish);
        stats.sweep_total += report.sweep;
    }

    /// Tells the listeners of a completed cycle, which may ask for another. For collectors.
    pub fn announce(&self, report: &CollectReport, reclaimed: &Reclaimed) {
        for message in &reclaimed.drop_panics {
            self.inner.emit(&Event::DropPanicked { message: message.clone() });
        }
        self.inner.emit(&Event::Collected(report.clone()));
    }

    /// Notes a cycle that was given up. For collectors.
    pub fn note_abandoned(&self, error: &CollectError) {
        self.inner.stats.lock().cycles_abandoned += 1;
        if let CollectError::VisitPanicked { message } = error {
            self.inner.emit(&Event::CollectionAbandoned { message: message.clone() });
        }
    }
}
