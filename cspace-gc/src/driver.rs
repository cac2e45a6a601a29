//! [`GcDriver`]: collections on a thread of the embedder's own.

use core::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace_core::collector::{ForCollectors, LockWait, WeakCollectorHandle};
use cspace_core::{CollectError, CollectReport, Space};

use crate::control::{leave_evicted, GcControl, STOP_CHECK};
use crate::period::{Due, Timer};
use crate::protocol::Tenure;
use crate::stand_in::ThreadDriver;

/// The driver's seat of a space, for a thread of the embedder's own (ceda's custom garbage collection thread).
///
/// Got from the facade's `CSpace::gc_driver`. It does not keep the space alive. While [`collect`](GcDriver::collect) runs
/// one piece of user code for more than 10 ms, a cleaner that waits, say, a thread of the library's own runs the collections that are due,
/// and leaves it what user code there is. While nobody calls `collect`, nobody does.
///
/// ```
/// use cspace_core::Space;
/// use cspace_gc::{GcControl, GcMode, GcSettings};
/// use std::time::Duration;
///
/// let control = GcControl::new(GcSettings { mode: GcMode::Manual, ..GcSettings::default() });
/// let space = Space::builder().collector(control.clone()).build()?;
/// let mut driver = control.driver(&space)?;
/// let thread = std::thread::spawn(move || {
///     let mut collections = 0;
///     while driver.wait_for_garbage_collect() {
///         driver.collect();
///         collections += 1;
///     }
///     collections
/// });
/// space.request_gc();
/// space.wait_for_gc_after(0, Duration::from_secs(60))?;
/// control.stop(&space)?;
/// assert!(thread.join().unwrap() >= 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A driver that is dropped without having been told to stop leaves the seat: the space is collected as
/// it was before, by safepoints or by explicit calls.
pub struct GcDriver {
    control: Arc<GcControl>,
    space: WeakCollectorHandle,
    driver: Arc<ThreadDriver>,
    tenure: Tenure,
    timer: Timer,
    failures: u32,
    /// After a cycle that failed.
    retry: Option<Duration>,
}

impl GcDriver {
    pub(crate) fn new(
        control: Arc<GcControl>,
        space: WeakCollectorHandle,
        driver: Arc<ThreadDriver>,
        tenure: Tenure,
    ) -> GcDriver {
        let timer = Timer::new(Instant::now());
        GcDriver { control, space, driver, tenure, timer, failures: 0, retry: None }
    }

    /// Waits until a collection is due: true. False when the driver is to stop, for good: the space is gone, or
    /// `stop_gc` was called (ceda's `WaitForGarbageCollect`).
    pub fn wait_for_garbage_collect(&mut self) -> bool {
        let mut retry = self.retry.take().and_then(|retry| Instant::now().checked_add(retry));
        loop {
            let seen = self.driver.signal.look();
            if seen.is_stopped() {
                return false;
            }
            let Some(space) = self.space.upgrade() else { return false };
            let deadline = match retry.take() {
                Some(retry) => Some(retry),
                None => match self.control.due(&space, &self.timer) {
                    Due::Now => return true,
                    Due::At(deadline) => Some(deadline),
                    Due::WhenChanged | Due::WhenWoken => None,
                },
            };
            drop(space);
            self.driver.signal.wait(seen, deadline);
        }
    }

    /// Runs the collection that is due, on this thread: marks, finishes, sweeps, drops. `None` if another thread's
    /// served, if the driver is to stop, or if it failed, which the events tell; the next wait is longer then.
    pub fn collect(&mut self) -> Option<CollectReport> {
        self.try_collect().ok().flatten()
    }

    /// As [`collect`](GcDriver::collect), and says what failed.
    ///
    /// # Errors
    ///
    /// If a `visit_objects` panicked, if the lock was leaked, or if this thread is inside of the space or runs a
    /// sweep.
    pub fn try_collect(&mut self) -> Result<Option<CollectReport>, CollectError> {
        let Some(space) = self.space.upgrade() else { return Ok(None) };
        if space.is_inside() {
            return Err(CollectError::InsideAccess { space: space.name().to_string() });
        }
        if Space::is_sweeping() {
            return Err(CollectError::InSweep { space: space.name().to_string() });
        }
        let (control, tenure) = (Arc::clone(&self.control), self.tenure);
        if !control.seat.begin_work(tenure) {
            return Ok(None);
        }
        /// Ends the work also when a panic gets here.
        struct Work<'a>(&'a GcControl, Tenure);
        impl Drop for Work<'_> {
            fn drop(&mut self) {
                self.0.seat.end_work(self.1);
            }
        }
        let work = Work(&control, tenure);
        let driver = Arc::clone(&self.driver);
        let go_on = || !driver.signal.is_stopped();
        let wait = LockWait { slice: STOP_CHECK, go_on: &go_on };
        let driven = control.drive(&space, &self.timer, &mut self.failures, wait, &go_on);
        drop(work);
        match driven {
            Ok(report) => Ok(report),
            Err(_) if self.driver.signal.is_stopped() => Ok(None),
            Err((error, retry)) => {
                self.retry = Some(retry);
                Err(error)
            }
        }
    }
}

impl Drop for GcDriver {
    fn drop(&mut self) {
        self.control.driver_left(self.tenure);
        if let Some(space) = self.space.upgrade() {
            leave_evicted(&space);
        }
    }
}

impl fmt::Debug for GcDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcDriver").field("space", &self.space).finish_non_exhaustive()
    }
}
