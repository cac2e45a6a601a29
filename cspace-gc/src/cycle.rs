//! One cycle: claim, mark, finish, reclaim.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace_core::collector::{
    defer, run_deferred, Batch, BatchTicket, Collector, CycleClaim, Extent, FinishPhase, LockWait,
    MarkPhase, Reclaimed,
};
use cspace_core::{CollectError, CollectReport, Space};

/// How a finish is entered while readers come and go.
///
/// Insisting at once would stop every new reader for as long as the slowest one stays, and hang two
/// that wait for each other. So the finish is tried for a moment, readers are let in, and it is tried
/// again; when the debt is due, the attempts become long ones. No attempt is without an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long one attempt waits for readers to leave. New readers wait that long at most.
    pub attempt: Duration,
    /// The pause after an attempt that failed; doubles up to thirty-two times itself.
    pub back_off: Duration,
    /// When to begin with long attempts, counted from the end of marking. Writers wait for as long.
    pub debt: Duration,
    /// How long one long attempt waits for readers to leave, and so new readers at most.
    pub insistence: Duration,
}

impl Default for Patience {
    /// 200 µs attempts, 50 µs pauses, and after 100 ms attempts of 50 ms.
    fn default() -> Self {
        Patience {
            attempt: Duration::from_micros(200),
            back_off: Duration::from_micros(50),
            debt: Duration::from_millis(100),
            insistence: Duration::from_millis(50),
        }
    }
}

/// Attempts that a thread makes which holds another space: readers may wait for that one.
const ATTEMPTS_INSIDE: usize = 64;

/// How long a mutator at a safepoint waits for another thread's cycle before it goes on over budget.
const THROTTLE: Duration = Duration::from_millis(10);

/// How long the lock is waited for to deliver evicted objects before it is looked whether to go on.
const DELIVERY_SLICE: Duration = Duration::from_millis(10);

/// The rest of a cycle, for another thread.
pub(crate) struct Rest {
    pub(crate) ticket: BatchTicket,
    pub(crate) work: Box<dyn FnOnce() + Send>,
}

/// By whom, and for how long, a cycle is driven.
#[derive(Clone, Copy)]
pub(crate) struct Drive<'a> {
    /// How much it has to look at.
    pub(crate) extent: Extent,
    /// How to wait for the lock.
    pub(crate) wait: LockWait<'a>,
    /// Whether to go on waiting for readers to leave; asked after each attempt.
    pub(crate) stay: &'a dyn Fn() -> bool,
    /// Takes the rest of a cycle that this thread may not reclaim, or gives it back.
    pub(crate) hand_over: &'a dyn Fn(Rest) -> Result<(), Rest>,
}

impl Drive<'_> {
    /// By a thread that has all the time and nobody to hand over to.
    pub(crate) const ALONE: Drive<'static> =
        Drive { extent: Extent::Full, wait: LockWait::FOREVER, stay: &|| true, hand_over: &Err };
}

/// The collector of a space: a full mark and sweep for each cycle, run by mutators at their safepoints.
///
/// Given to the space by `Builder::collector`. With a thread of its own, a period and more it is
/// [`GcControl`](crate::GcControl), which the facade `cspace` wires up.
///
/// ```
/// use cspace_core::Space;
/// use cspace_gc::MarkSweep;
///
/// let space = Space::builder().collector(MarkSweep::new()).build()?;
/// space.exclusive(|cx| {
///     cx.alloc("garbage".to_string());
/// });
/// let report = space.synchronous_gc()?;
/// assert_eq!(report.objects_reclaimed, 1);
/// assert_eq!(space.num_objects(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MarkSweep {
    patience: Patience,
}

impl MarkSweep {
    /// A collector with default patience.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Arc<dyn Collector> {
        MarkSweep::with_patience(Patience::default())
    }

    /// A collector that enters its finishes as told.
    pub fn with_patience(patience: Patience) -> Arc<dyn Collector> {
        Arc::new(MarkSweep { patience })
    }

    pub(crate) fn from_patience(patience: Patience) -> MarkSweep {
        MarkSweep { patience }
    }

    /// Runs a claimed cycle.
    pub(crate) fn run(
        &self,
        space: &Space,
        claim: CycleClaim,
        drive: Drive<'_>,
    ) -> Result<CollectReport, CollectError> {
        let may_insist = Space::may_wait_for_cycle();
        self.run_begun(space, MarkPhase::begin(claim, drive.wait)?, drive, may_insist)
    }

    /// Runs a claimed cycle that comes of allocation, or a part of its mark only: then there is no report.
    pub(crate) fn run_part(
        &self,
        space: &Space,
        claim: CycleClaim,
        drive: Drive<'_>,
    ) -> Result<Option<CollectReport>, CollectError> {
        let drive = Drive { extent: Extent::MinorWillDo, ..drive };
        let may_insist = Space::may_wait_for_cycle();
        let phase = MarkPhase::begin(claim, drive.wait)?.try_increment();
        match phase.inspect_err(|error| space.note_abandoned(error))? {
            Some(phase) => self.run_begun(space, phase, drive, may_insist).map(Some),
            None => {
                run_deferred();
                Ok(None)
            }
        }
    }

    /// Goes on with a cycle. `may_insist`: the thread held nothing when it began.
    fn run_begun(
        &self,
        space: &Space,
        phase: MarkPhase,
        drive: Drive<'_>,
        may_insist: bool,
    ) -> Result<CollectReport, CollectError> {
        let mut insisted = None;
        let condemned =
            self.mark(phase, drive, may_insist, &mut insisted).and_then(FinishPhase::condemn);
        // Told when neither the lock nor the claim is held any more: a listener is the user's, and may collect.
        let tell_insistence = || {
            if let Some(waited) = insisted {
                space.announce_insistence(waited);
            }
        };
        let (batch, mut report) = condemned.inspect_err(|error| {
            tell_insistence();
            space.note_abandoned(error);
        })?;
        if Batch::can_reclaim() {
            report = reclaim(space, batch, report, tell_insistence);
            self.deliver(space, drive.stay);
            run_deferred();
            return Ok(report);
        }
        let (for_later, later, ticket) = (space.clone(), report.clone(), batch.ticket());
        let work = move || {
            reclaim(&for_later, batch, later, || ());
            for_later.deliver_evicted(LockWait::NONE);
        };
        if let Err(rest) = (drive.hand_over)(Rest { ticket, work: Box::new(work) }) {
            defer(Some(rest.ticket), rest.work);
        }
        tell_insistence();
        report.sweep_deferred = true;
        Ok(report)
    }

    /// Has the callback for evicted objects called: by this thread if it gets the lock in time, else by whoever
    /// has it, at the next safepoint.
    fn deliver(&self, space: &Space, stay: &dyn Fn() -> bool) {
        let begun = Instant::now();
        let go_on = || stay() && begun.elapsed() < self.patience.debt;
        space.deliver_evicted(LockWait { slice: DELIVERY_SLICE, go_on: &go_on });
    }

    /// Marks, and gets everybody out.
    fn mark(
        &self,
        mut phase: MarkPhase,
        drive: Drive<'_>,
        may_insist: bool,
        insisted: &mut Option<Duration>,
    ) -> Result<FinishPhase, CollectError> {
        phase.mark_as(drive.extent)?;
        let marked = Instant::now();
        let mut back_off = self.patience.back_off;
        let mut attempts = 0;
        loop {
            phase.drain_late()?;
            let waited = marked.elapsed();
            let due = may_insist && waited >= self.patience.debt;
            if due && insisted.is_none() {
                *insisted = Some(waited);
            }
            let patience = if due { self.patience.insistence } else { self.patience.attempt };
            phase = match phase.try_finish(patience) {
                Ok(finish) => return Ok(finish),
                Err(phase) => phase,
            };
            attempts += 1;
            let give_up = phase.is_leaked()
                || (!may_insist && attempts == ATTEMPTS_INSIDE)
                || !(drive.stay)();
            if give_up {
                return Err(phase.give_up());
            }
            std::thread::sleep(back_off);
            back_off = (back_off * 2).min(self.patience.back_off * 32);
        }
    }

    /// A collection that begins after the call, by this thread or another.
    pub(crate) fn collect_now(
        &self,
        space: &Space,
        drive: Drive<'_>,
    ) -> Result<CollectReport, CollectError> {
        if space.is_inside() {
            return Err(CollectError::InsideAccess { space: space.name().to_string() });
        }
        if Space::is_sweeping() {
            space.request_gc();
            return Err(CollectError::InSweep { space: space.name().to_string() });
        }
        let begun = space.cycles_begun();
        loop {
            if let Some(claim) = space.try_claim_cycle() {
                match self.run(space, claim, drive) {
                    Err(CollectError::Transferred { .. }) => continue,
                    result => return result,
                }
            }
            if !Space::may_wait_for_cycle() {
                space.request_gc();
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            if !space.wait_for_cycle(None, drive.wait.go_on) {
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            // Of many that ask at once one collects, for all: if it began after this one asked, and left nothing
            // dead. What a minor cycle leaves may be old; a mark that was done in increments began earlier.
            let serves = |report: &CollectReport| {
                report.begun > begun && !report.is_minor && report.increments == 0
            };
            if let Some(report) = space.last_report().filter(serves) {
                return Ok(report);
            }
            // There may be more of that kind before this thread has the claim. One that was requested is full.
            space.request_gc();
        }
    }

    /// A collection by a mutator at a safepoint, unless another thread's serves.
    pub(crate) fn collect_at_safepoint(&self, space: &Space, drive: Drive<'_>) {
        if Space::is_sweeping() {
            return;
        }
        let mut waited = false;
        loop {
            if let Some(claim) = space.try_claim_cycle() {
                // A cycle that ended meanwhile may have served. Errors are in the events.
                if !space.wants_collection() {
                    return;
                }
                match self.run_part(space, claim, drive) {
                    Err(CollectError::Transferred { .. }) => continue,
                    _ => return,
                }
            }
            // Not for ever: a drop of that cycle may wait for this thread.
            if waited || !Space::may_wait_for_cycle() {
                return;
            }
            waited = true;
            space.wait_for_cycle(Some(THROTTLE), &|| true);
        }
    }
}

/// Reclaims a batch and counts its cycle, then tells of it, and before of what there was to tell earlier: with the
/// claim given up, as a listener may collect.
fn reclaim(
    space: &Space,
    batch: Batch,
    mut report: CollectReport,
    tell_first: impl FnOnce(),
) -> CollectReport {
    let begun = Instant::now();
    let note = |reclaimed: &Reclaimed| {
        report.sweep = begun.elapsed();
        space.note_cycle(&mut report, reclaimed);
    };
    match batch.reclaim_then(note) {
        Ok(reclaimed) => {
            tell_first();
            space.announce(&report, &reclaimed);
        }
        // Another thread will; it has no report to fill in.
        Err(batch) => {
            drop(batch);
            tell_first();
        }
    }
    report
}

impl Collector for MarkSweep {
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
        self.collect_now(space, Drive::ALONE)
    }

    fn at_safepoint(&self, space: &Space) {
        self.collect_at_safepoint(space, Drive::ALONE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use cspace_core::GcRoot;

    use super::*;

    /// Runs a phase to its end as a collector does that was not asked.
    fn finish(space: &Space, mut phase: MarkPhase) -> CollectReport {
        phase.mark_as(Extent::MinorWillDo).unwrap();
        let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
        let (batch, report) = finish.condemn().unwrap();
        reclaim(space, batch, report, || ())
    }

    /// The report that a thread gets which asks for a collection while another one has the claim of a cycle, which
    /// `run` runs once the thread waits for it.
    fn asked_meanwhile(
        space: &Space,
        claim: CycleClaim,
        run: impl FnOnce(CycleClaim) -> CollectReport,
    ) -> (CollectReport, CollectReport) {
        let (waits, waiting) = channel();
        std::thread::scope(|scope| {
            let asker = scope.spawn(move || {
                let go_on = || {
                    waits.send(()).unwrap();
                    true
                };
                let wait = LockWait { slice: Duration::from_millis(1), go_on: &go_on };
                MarkSweep::default().collect_now(space, Drive { wait, ..Drive::ALONE }).unwrap()
            });
            waiting.recv().unwrap();
            (run(claim), asker.join().unwrap())
        })
    }

    /// A space with an old object, and what keeps that alive.
    fn with_old_object(minor: bool) -> (Space, GcRoot<String>) {
        let space = Space::builder().stress(true).minor_collections(minor).build().unwrap();
        let root = space.exclusive(|cx| cx.root(cx.alloc("old".to_string())));
        assert!(!MarkSweep::default().collect_now(&space, Drive::ALONE).unwrap().is_minor);
        (space, root)
    }

    fn begin(claim: CycleClaim) -> MarkPhase {
        MarkPhase::begin(claim, LockWait::FOREVER).unwrap()
    }

    #[test]
    fn who_asks_for_a_collection_is_not_served_by_a_minor_one() {
        let (space, root) = with_old_object(true);
        drop(root);
        let claim = space.try_claim_cycle().unwrap();
        let (ran, asked) = asked_meanwhile(&space, claim, |claim| finish(&space, begin(claim)));
        assert!(ran.is_minor && ran.objects_reclaimed == 0);
        assert!(!asked.is_minor);
        assert_eq!((asked.objects_reclaimed, space.num_objects()), (1, 0));
    }

    #[test]
    fn who_asks_for_a_collection_is_not_served_by_the_end_of_a_mark() {
        let (space, root) = with_old_object(false);
        let claim = space.try_claim_cycle().unwrap();
        assert!(begin(claim).try_increment().unwrap().is_none());
        drop(root);
        let claim = space.try_claim_cycle().unwrap();
        let (ran, asked) = asked_meanwhile(&space, claim, |claim| finish(&space, begin(claim)));
        assert!(ran.increments == 1 && ran.objects_reclaimed == 0);
        assert_eq!((asked.increments, asked.objects_reclaimed, space.num_objects()), (0, 1, 0));
    }

    #[test]
    fn who_asks_for_a_collection_is_served_by_a_full_one_that_begins_later() {
        let (space, root) = with_old_object(false);
        drop(root);
        let claim = space.try_claim_cycle().unwrap();
        let (ran, asked) = asked_meanwhile(&space, claim, |claim| finish(&space, begin(claim)));
        assert_eq!((ran.objects_reclaimed, asked.cycle), (1, ran.cycle));
    }
}
