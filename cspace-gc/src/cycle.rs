//! One cycle: claim, mark, finish, reclaim.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace_core::collector::{defer, run_deferred, Batch, Collector, FinishPhase, MarkPhase};
use cspace_core::{CollectError, CollectReport, Space, VerifyReport};
use parking_lot::{Condvar, Mutex};

/// How a finish is entered while readers come and go.
///
/// Insisting at once would stop every new reader for as long as the slowest one stays, and hang two
/// that wait for each other. So the finish is tried for a moment, readers are let in, and it is tried
/// again; only when the debt is due does it insist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long one attempt waits for readers to leave. New readers wait that long at most.
    pub attempt: Duration,
    /// The pause after an attempt that failed; doubles up to thirty-two times itself.
    pub back_off: Duration,
    /// When to insist, counted from the end of marking. `None`: never.
    pub debt: Option<Duration>,
}

impl Default for Patience {
    /// 200 µs attempts, 50 µs pauses, insisting after 10 s.
    fn default() -> Self {
        Patience {
            attempt: Duration::from_micros(200),
            back_off: Duration::from_micros(50),
            debt: Some(Duration::from_secs(10)),
        }
    }
}

/// The collector of one space: a full mark and sweep for each cycle.
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
pub struct MarkSweep {
    claim: Arc<Claim>,
    patience: Patience,
}

/// Whether a cycle runs (K1).
struct Claim {
    running: Mutex<bool>,
    ended: Condvar,
}

/// A cycle that is this thread's. Dropped when the batch is reclaimed.
struct Claimed(Arc<Claim>);

impl Drop for Claimed {
    fn drop(&mut self) {
        *self.0.running.lock() = false;
        self.0.ended.notify_all();
    }
}

impl Claim {
    /// Claims the cycle if none runs.
    fn try_begin(self: &Arc<Self>) -> Option<Claimed> {
        let mut running = self.running.lock();
        if *running {
            return None;
        }
        *running = true;
        Some(Claimed(Arc::clone(self)))
    }

    /// Waits for the cycle that runs to end. Work that waits for a thread like this one is done first,
    /// as the cycle may be among it.
    fn wait(&self) {
        let mut running = self.running.lock();
        while *running {
            // A batch may be deferred at any moment, and nobody tells the condition.
            self.ended.wait_for(&mut running, Duration::from_millis(1));
            if *running {
                drop(running);
                run_deferred();
                running = self.running.lock();
            }
        }
    }
}

impl MarkSweep {
    /// A collector with default patience.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Arc<dyn Collector> {
        MarkSweep::with_patience(Patience::default())
    }

    /// A collector that enters its finishes as told.
    pub fn with_patience(patience: Patience) -> Arc<dyn Collector> {
        let claim = Arc::new(Claim { running: Mutex::new(false), ended: Condvar::new() });
        Arc::new(MarkSweep { claim, patience })
    }

    /// Runs a claimed cycle.
    fn run(&self, space: &Space, claimed: Claimed) -> Result<CollectReport, CollectError> {
        let condemned = self.mark(space).and_then(FinishPhase::condemn);
        let (batch, mut report) = match condemned {
            Ok(condemned) => condemned,
            Err(error) => {
                drop(claimed);
                space.note_abandoned(&error);
                return Err(error);
            }
        };
        if Batch::can_reclaim() {
            reclaim(space, batch, &mut report, claimed);
            run_deferred();
        } else {
            report.sweep_deferred = true;
            // The space lives until its batch is reclaimed: its destruction would not know of it.
            let (space, mut report) = (space.clone(), report.clone());
            defer(move || reclaim(&space, batch, &mut report, claimed));
        }
        Ok(report)
    }

    /// Marks, and gets everybody out.
    fn mark<'s>(&self, space: &'s Space) -> Result<FinishPhase<'s>, CollectError> {
        // SAFETY: the caller has claimed the cycle (K1), which includes the batch of the one before.
        let mut phase = unsafe { MarkPhase::begin(space)? };
        phase.mark()?;
        let marked = Instant::now();
        let mut back_off = self.patience.back_off;
        loop {
            phase.drain_late()?;
            let due = self.patience.debt.is_some_and(|debt| marked.elapsed() >= debt);
            phase = match phase.try_finish((!due).then_some(self.patience.attempt)) {
                Ok(finish) => return Ok(finish),
                Err(phase) => phase,
            };
            std::thread::sleep(back_off);
            back_off = (back_off * 2).min(self.patience.back_off * 32);
        }
    }
}

fn reclaim(space: &Space, batch: Batch, report: &mut CollectReport, claimed: Claimed) {
    let begun = Instant::now();
    let reclaimed = batch.reclaim();
    report.sweep = begun.elapsed();
    space.note_cycle(report, &reclaimed);
    // A listener may collect: the cycle is over before it hears of it.
    drop(claimed);
    space.announce(report, &reclaimed);
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
            if let Some(claimed) = self.claim.try_begin() {
                return self.run(space, claimed);
            }
            if !Space::may_wait_for_cycle() {
                space.request_gc();
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            self.claim.wait();
        }
    }

    fn at_safepoint(&self, space: &Space) {
        if Space::is_sweeping() {
            return;
        }
        loop {
            if let Some(claimed) = self.claim.try_begin() {
                // A cycle that ended meanwhile may have served. Errors are in the events.
                if space.wants_collection() {
                    let _ = self.run(space, claimed);
                }
                return;
            }
            if !Space::may_wait_for_cycle() {
                return;
            }
            self.claim.wait();
        }
    }

    fn verify(&self, space: &Space) -> Result<VerifyReport, CollectError> {
        if space.is_inside() {
            return Err(CollectError::InsideAccess { space: space.name().to_string() });
        }
        loop {
            if let Some(_claimed) = self.claim.try_begin() {
                // SAFETY: the claim keeps cycles out, and the batch before is reclaimed (K1).
                return unsafe { cspace_core::collector::verify(space) };
            }
            if !Space::may_wait_for_cycle() {
                return Err(CollectError::Busy { space: space.name().to_string() });
            }
            self.claim.wait();
        }
    }
}
