//! One cycle: claim, mark, finish, reclaim.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace_core::collector::{
    defer, run_deferred, Batch, Collector, CycleClaim, FinishPhase, MarkPhase,
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

/// The collector of a space: a full mark and sweep for each cycle.
///
/// Given to the space by `Builder::collector`; the facade `cspace` does that.
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

    /// Runs a claimed cycle.
    fn run(&self, space: &Space, claim: CycleClaim) -> Result<CollectReport, CollectError> {
        let condemned = self.mark(claim).and_then(FinishPhase::condemn);
        let (batch, report) = condemned.inspect_err(|error| space.note_abandoned(error))?;
        if Batch::can_reclaim() {
            let report = reclaim(space, batch, report);
            run_deferred();
            return Ok(report);
        }
        let (space, later) = (space.clone(), report.clone());
        defer(move || {
            reclaim(&space, batch, later);
        });
        let mut report = report;
        report.sweep_deferred = true;
        Ok(report)
    }

    /// Marks, and gets everybody out.
    fn mark(&self, claim: CycleClaim) -> Result<FinishPhase, CollectError> {
        let may_insist = Space::may_wait_for_cycle();
        let mut phase = MarkPhase::begin(claim)?;
        phase.mark()?;
        let marked = Instant::now();
        let mut back_off = self.patience.back_off;
        let mut attempts = 0;
        loop {
            phase.drain_late()?;
            let due = may_insist && marked.elapsed() >= self.patience.debt;
            let patience = if due { self.patience.insistence } else { self.patience.attempt };
            phase = match phase.try_finish(patience) {
                Ok(finish) => return Ok(finish),
                Err(phase) => phase,
            };
            attempts += 1;
            if phase.is_leaked() || (!may_insist && attempts == ATTEMPTS_INSIDE) {
                return Err(phase.give_up());
            }
            std::thread::sleep(back_off);
            back_off = (back_off * 2).min(self.patience.back_off * 32);
        }
    }
}

/// Reclaims a batch and tells of it. The claim is given up in between, as a listener may collect.
fn reclaim(space: &Space, batch: Batch, mut report: CollectReport) -> CollectReport {
    let begun = Instant::now();
    match batch.reclaim() {
        Ok(reclaimed) => {
            report.sweep = begun.elapsed();
            space.note_cycle(&mut report, &reclaimed);
            space.announce(&report, &reclaimed);
        }
        // Another thread will; it has no report to fill in.
        Err(batch) => drop(batch),
    }
    report
}

impl Collector for MarkSweep {
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
        if space.is_inside() {
            return Err(CollectError::InsideAccess { space: space.name().to_string() });
        }
        if Space::is_sweeping() {
            space.request_gc();
            return Err(CollectError::InSweep { space: space.name().to_string() });
        }
        loop {
            if let Some(claim) = space.try_claim_cycle() {
                return self.run(space, claim);
            }
            if !Space::may_wait_for_cycle() {
                space.request_gc();
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            space.wait_for_cycle();
        }
    }

    fn at_safepoint(&self, space: &Space) {
        if Space::is_sweeping() {
            return;
        }
        loop {
            if let Some(claim) = space.try_claim_cycle() {
                // A cycle that ended meanwhile may have served. Errors are in the events.
                if space.wants_collection() {
                    let _ = self.run(space, claim);
                }
                return;
            }
            if !Space::may_wait_for_cycle() {
                return;
            }
            space.wait_for_cycle();
        }
    }
}
