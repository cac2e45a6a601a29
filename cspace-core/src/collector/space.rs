//! What a space has for collectors: the claim of a cycle, what to decide by, and what to record and tell of a cycle.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::FullCycle;
use crate::batch::{run_deferred_of_gate, Batch, Reclaimed};
use crate::claim::{CycleClaim, DEFERRED_CHECK};
use crate::error::CollectError;
use crate::event::{CollectReport, Event};
use crate::held;
use crate::space::Space;

/// How long a single cleaner or drop of another thread is waited for.
const DROP_PATIENCE: Duration = Duration::from_millis(250);
/// How long a thread that waits for a claim sleeps before it looks whether to go on.
const CLAIM_CHECK: Duration = Duration::from_millis(1);

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::space::Space {}
}

/// What a [`Space`] has for collectors, and for nobody else: claim its cycle, look whether one is due, record what it came
/// to, and tell the listeners. Implemented by `Space` alone.
///
/// ```
/// use cspace_core::collector::ForCollectors;
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let claim = space.try_claim_cycle().expect("nobody else collects");
/// assert!(space.try_claim_cycle().is_none());
/// drop(claim);
/// assert!(!space.wants_collection());
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub trait ForCollectors: sealed::Sealed {
    /// Claims the cycle of this space, if none runs and no batch of its objects is out.
    fn try_claim_cycle(&self) -> Option<CycleClaim>;

    /// Waits until what remains of earlier batches of this space has ended: cleaners and drops. Those that were left for
    /// another thread are run here. False if a single one takes longer than a quarter of a second, or if this thread may
    /// not run any. For collectors, on behalf of somebody who asks for a collection.
    fn wait_for_drops(&self) -> bool;

    /// Waits until a cycle of this space may be claimed, or `patience` is over, or `go_on` says no; true in the
    /// first case. Whoever has the claim runs no user code but `visit_objects` and policies.
    fn wait_for_cycle(&self, patience: Option<Duration>, go_on: &dyn Fn() -> bool) -> bool;

    /// Whether a collection is asked for.
    fn wants_collection(&self) -> bool;

    /// Whether the last collection may have left something that was dead when it ended: it was a minor one, or marked in
    /// increments. For collectors, which then collect once more when there is time.
    ///
    /// ```
    /// use cspace_core::collector::ForCollectors;
    /// use cspace_core::Space;
    ///
    /// let space = Space::builder().build()?;
    /// assert!(!space.has_left_dead());
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    fn has_left_dead(&self) -> bool;

    /// Whether a full collection may find anything that the last one did not, dead or too much: since that began there
    /// was an exclusive access or a merge, a handle was dropped, bytes were charged or given back, or something was
    /// set that collections go by.
    ///
    /// ```
    /// use cspace_core::collector::ForCollectors;
    /// use cspace_core::Space;
    ///
    /// let space = Space::builder().build()?;
    /// assert!(!space.may_find_more());
    /// space.exclusive(|_| ());
    /// assert!(space.may_find_more());
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    fn may_find_more(&self) -> bool;

    /// Sleeps until a collection [may find more](ForCollectors::may_find_more): [`Collector::wake`](super::Collector::wake) is called then, once. False if
    /// something has. For collectors that run on threads of their own.
    fn sleep_until_changed(&self) -> bool;

    /// The last full collection that was completed, whoever ran it.
    fn last_full_cycle(&self) -> Option<FullCycle>;

    /// Bytes allocated since the last collection, and bytes charged to the ledger since.
    fn spent(&self) -> usize;

    /// Leaves the next collection to whoever holds the lock: it runs at its next safepoint. For collectors that
    /// cannot wait for the lock any longer.
    fn set_overdue(&self);

    /// Whether this thread may wait for another's cycle: it holds no space whose access a
    /// `visit_objects` of that cycle may be waiting for.
    fn may_wait_for_cycle() -> bool;

    /// Whether this thread runs drops of a sweep.
    fn is_sweeping() -> bool;

    /// Whether this thread drives collections ([`Driving`](super::Driving)).
    fn is_driving() -> bool;

    /// Notes that a batch is swept: adjusts the budget to what is alive. For collectors, while they have the
    /// [claim](Batch::sweep_then): who waits for that sees the report, though cleaners and drops are still to come.
    fn note_sweep(&self, report: &mut CollectReport, reclaimed: &Reclaimed);

    /// Notes a cycle that was completed: counts it. For collectors, when what [remains](super::Remains::run_then) has ended, or
    /// was left for a thread that is busy; [`announce`](ForCollectors::announce) it when other cycles may run.
    fn note_cycle(&self, report: &mut CollectReport, reclaimed: &Reclaimed);

    /// How many collections have begun.
    fn cycles_begun(&self) -> u64;

    /// The report of the last collection that was completed.
    fn last_report(&self) -> Option<CollectReport>;

    /// Tells the listeners of a completed cycle, which may ask for another.
    fn announce(&self, report: &CollectReport, reclaimed: &Reclaimed);

    /// Adds what became of cleaners and drops to a cycle that was noted before they had ended.
    fn note_remains(&self, report: &mut CollectReport, reclaimed: &Reclaimed);

    /// Whether anybody listens to [events](crate::Builder::on_event).
    fn has_listeners(&self) -> bool;

    /// Tells the listeners that a finish insists.
    fn announce_insistence(&self, waited: Duration);

    /// Counts a cycle that was abandoned for a reason which the listeners are told, and returns that: for
    /// [`announce_abandoned`](ForCollectors::announce_abandoned).
    fn note_abandoned(&self, error: &CollectError) -> Option<String>;

    /// Tells the listeners why a cycle was abandoned.
    fn announce_abandoned(&self, message: String);

    /// Counts events that the listeners are not told of, as too many wait to be.
    fn note_events_dropped(&self, count: u64);
}

impl ForCollectors for Space {
    fn try_claim_cycle(&self) -> Option<CycleClaim> {
        CycleClaim::try_new(self)
    }

    fn wait_for_drops(&self) -> bool {
        if !Batch::can_reclaim() {
            return false;
        }
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            let gate = Arc::clone(&self.inner.current_home().gate);
            run_deferred_of_gate(&gate);
            if gate.wait_for_drops(DEFERRED_CHECK) {
                return true;
            }
            let done = Some(gate.owner().drops_done.load(Relaxed));
            if done != seen {
                (seen, since) = (done, Instant::now());
            } else if since.elapsed() >= DROP_PATIENCE {
                return false;
            }
        }
    }

    fn wait_for_cycle(&self, patience: Option<Duration>, go_on: &dyn Fn() -> bool) -> bool {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            let gate = Arc::clone(&self.inner.current_home().gate);
            if gate.wait_for(CLAIM_CHECK) {
                return true;
            }
            if !go_on() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
        }
    }

    fn wants_collection(&self) -> bool {
        self.inner.wants_collection()
    }

    fn has_left_dead(&self) -> bool {
        self.inner.counters().old.left_dead.load(Relaxed)
    }

    fn may_find_more(&self) -> bool {
        self.inner.changes().flag().is_changed()
    }

    fn sleep_until_changed(&self) -> bool {
        self.inner.changes().flag().sleep()
    }

    fn last_full_cycle(&self) -> Option<FullCycle> {
        *self.inner.last_full_cycle.lock()
    }

    fn spent(&self) -> usize {
        self.inner.counters().spent()
    }

    fn set_overdue(&self) {
        self.inner.requests().set_overdue();
    }

    fn may_wait_for_cycle() -> bool {
        Batch::can_reclaim()
    }

    fn is_sweeping() -> bool {
        held::is_sweeping()
    }

    fn is_driving() -> bool {
        held::is_driving()
    }

    fn note_sweep(&self, report: &mut CollectReport, reclaimed: &Reclaimed) {
        let inner = &self.inner;
        inner.plan();
        report.bytes_live = reclaimed.bytes_live;
        let mut last = inner.last_report.lock();
        if last.as_ref().is_none_or(|last| last.begun < report.begun) {
            *last = Some(report.clone());
        }
        drop(last);
        note_full_cycle(self, report);
    }

    fn note_cycle(&self, report: &mut CollectReport, reclaimed: &Reclaimed) {
        let inner = &self.inner;
        inner.plan();
        report.bytes_live = reclaimed.bytes_live;
        report.drop_panics = reclaimed.drop_panics.len();
        report.cleaners_run = reclaimed.cleaners_run;
        report.cleaner_panics = reclaimed.cleaner_panics.len();
        // Under the mutex: after a merge the next cycle may run beside this one's batch, and be noted meanwhile.
        let mut stats = inner.stats.lock();
        report.cycle = inner.cycles.get() + 1;
        stats.cycles += 1;
        stats.cycles_minor += u64::from(report.is_minor);
        stats.cycles_short_of_memory += u64::from(report.is_short_of_memory);
        stats.objects_reclaimed += report.objects_reclaimed as u64;
        stats.drop_panics += reclaimed.drop_panics.len() as u64;
        stats.cleaners_run += reclaimed.cleaners_run as u64;
        stats.cleaner_panics += reclaimed.cleaner_panics.len() as u64;
        stats.pause_max = stats.pause_max.max(report.pause);
        stats.pause_total = stats.pause_total.saturating_add(report.pause);
        stats.pauses.note(report.pause);
        stats.finish_max = stats.finish_max.max(report.finish);
        stats.sweep_total = stats.sweep_total.saturating_add(report.sweep);
        let mut last = inner.last_report.lock();
        if last.as_ref().is_none_or(|last| last.begun <= report.begun) {
            *last = Some(report.clone());
        }
        drop(last);
        note_full_cycle(self, report);
        // Last: who waits for the count sees the rest.
        inner.cycles.complete();
    }

    fn cycles_begun(&self) -> u64 {
        self.inner.cycles_begun.load(Relaxed)
    }

    fn last_report(&self) -> Option<CollectReport> {
        self.inner.last_report.lock().clone()
    }

    fn announce(&self, report: &CollectReport, reclaimed: &Reclaimed) {
        for message in &reclaimed.drop_panics {
            self.inner.emit(&Event::DropPanicked { message: message.clone() });
        }
        for message in &reclaimed.cleaner_panics {
            self.inner.emit(&Event::CleanerPanicked { message: message.clone() });
        }
        for slow in &reclaimed.slow {
            self.inner.emit(&Event::SlowUserCode(slow.clone()));
        }
        self.tell_policy_panics();
        self.inner.emit(&Event::Collected(report.clone()));
    }

    fn note_remains(&self, report: &mut CollectReport, reclaimed: &Reclaimed) {
        report.drop_panics = reclaimed.drop_panics.len();
        report.cleaners_run = reclaimed.cleaners_run;
        report.cleaner_panics = reclaimed.cleaner_panics.len();
        let mut stats = self.inner.stats.lock();
        stats.drop_panics += reclaimed.drop_panics.len() as u64;
        stats.cleaners_run += reclaimed.cleaners_run as u64;
        stats.cleaner_panics += reclaimed.cleaner_panics.len() as u64;
    }

    fn has_listeners(&self) -> bool {
        self.inner.has_listeners()
    }

    fn announce_insistence(&self, waited: Duration) {
        self.inner.emit(&Event::Insisting { waited });
    }

    fn note_abandoned(&self, error: &CollectError) -> Option<String> {
        let message = match error {
            CollectError::VisitPanicked { message } => message.clone(),
            CollectError::NoMemory { .. } => error.to_string(),
            _ => return None,
        };
        self.inner.stats.lock().cycles_abandoned += 1;
        Some(message)
    }

    fn announce_abandoned(&self, message: String) {
        self.inner.emit(&Event::CollectionAbandoned { message });
    }

    fn note_events_dropped(&self, count: u64) {
        self.inner.stats.lock().events_dropped += count;
    }
}

/// Once for each full cycle, when it is swept.
fn note_full_cycle(space: &Space, report: &CollectReport) {
    let mut last = space.inner.last_full_cycle.lock();
    if !report.is_minor && last.is_none_or(|last| last.begun < report.begun) {
        let cost = report.pause.saturating_add(report.sweep);
        *last = Some(FullCycle { begun: report.begun, ended: Instant::now(), cost });
    }
}
