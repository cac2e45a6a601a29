//! [`GcControl`]: the collector of one space, and who runs it.
//!
//! Somebody is in the driver's seat ([`Seat`]): a worker, the embedder's own thread with a [`GcDriver`], a
//! [`GcPool`]; or nobody is, and then mutators collect at their safepoints, or nobody does. A mutator that
//! comes to a safepoint does not wait for the driver, unless it is far over budget; and if the driver is late
//! or gave up waiting for the lock, it runs the cycle itself. A driver that is stuck in user code has a stand-in
//! (`stand_in.rs`).

use core::cell::Cell;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cspace_core::collector::{
    defer_to_driver, deferred_count_of_driver, has_deferred, has_deferred_of_driver, run_deferred,
    run_deferred_of_driver, take_over_from_driver, Collector, Driving, ForCollectors, LeftUntil,
    LockWait, PiecesWatch as _, Runner,
};
use cspace_core::{CollectError, CollectReport, Space};
use parking_lot::Mutex;

use crate::busy::Busy;
use crate::cycle::{Drive, MarkSweep, Patience, Rest, UserCodeBy};
use crate::driver::GcDriver;
use crate::error::{StartError, StopError};
use crate::period::{share_of, Due, Look, Pace, Period, Timer, SHARE};
use crate::pool::{GcPool, Member};
use crate::protocol::{Seat, Tenure};
use crate::stand_in::{News, RunningUserCode, ThreadDriver};
use crate::worker;

/// Who runs the collections of a space to begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GcMode {
    /// A thread of the space's own, or the pool that the space is given. Marking goes on beside readers, and
    /// sweeping beside everybody.
    #[default]
    Worker,
    /// The mutators, at their safepoints; ends of exclusive accesses are safepoints too. For programs that
    /// count every thread.
    Safepoints,
    /// Explicit calls, and safepoints after an explicit request (`request_gc`); until `start_gc` or a [`GcDriver`].
    /// Neither a budget nor a limit is a reason for one: whoever is denied something collects, and tries again.
    Manual,
    /// Nobody: there is no collector, memory is freed when the space goes.
    Off,
}

/// How long a waiting collector thread sleeps before it looks whether it was told to stop.
pub(crate) const STOP_CHECK: Duration = Duration::from_millis(10);

/// After a cycle that failed the next try waits for this long, and for twice as long each time.
const RETRY: Duration = Duration::from_millis(10);
/// The longest such wait is this many times the first.
const RETRY_FACTOR_MAX: u32 = 64;

const NOBODY: u8 = 0;
const SAFEPOINTS: u8 = 1;
const DRIVER: u8 = 2;

/// The settings that a control begins with.
#[derive(Clone, Debug)]
pub struct GcSettings {
    /// Who runs the collections.
    pub mode: GcMode,
    /// See [`GcControl::set_period`].
    pub period: Option<Duration>,
    /// See [`GcControl::set_period_share`].
    pub period_share: f64,
    /// How finishes are entered.
    pub patience: Patience,
    /// Bytes of stack of the space's own collector thread; it runs the drops of dead objects. None: 8 MiB.
    pub stack_bytes: Option<usize>,
    /// A pool to run the collections instead of a thread of the space's own.
    pub pool: Option<GcPool>,
}

impl Default for GcSettings {
    /// A worker, no period, a share of a tenth.
    fn default() -> Self {
        GcSettings {
            mode: GcMode::default(),
            period: None,
            period_share: SHARE,
            patience: Patience::default(),
            stack_bytes: None,
            pool: None,
        }
    }
}

/// Who is in the driver's seat.
#[derive(Clone)]
pub(crate) enum Attached {
    /// A worker or a driver.
    Thread(Arc<ThreadDriver>),
    /// A pool.
    Pool(Arc<Member>),
}

/// The collector of one space: runs cycles, and decides which thread runs them and when.
///
/// Made with the space by the facade, whose `CSpace` has its methods under ceda's names. By hand:
///
/// ```
/// use cspace_core::Space;
/// use cspace_gc::{GcControl, GcSettings};
/// use std::time::Duration;
///
/// let control = GcControl::new(GcSettings::default());
/// let space = Space::builder().collector(control.clone()).build()?;
/// control.start(&space)?;
/// space.exclusive(|cx| {
///     cx.alloc("garbage".to_string());
/// });
/// let n = space.total_num_completed_gcs();
/// space.request_gc();
/// space.wait_for_gc_after(n, Duration::from_secs(60))?;
/// assert_eq!(space.num_objects(), 0);
/// control.stop(&space)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GcControl {
    pub(crate) mark_sweep: MarkSweep,
    pace: Mutex<Pace>,
    /// Who runs the collections that are due: one of the constants above.
    runner: AtomicU8,
    /// Who does when there is no driver.
    without_driver: AtomicU8,
    pub(crate) seat: Seat,
    /// Taken between the beginning of user code, or a request, and the look for the other one (SI1).
    attached: Mutex<Option<Attached>>,
    /// Of the worker, if there is one.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether the driver runs user code.
    busy: Arc<Busy>,
    /// What stand-ins left to be told of.
    news: News,
    stack_bytes: Option<usize>,
    /// The pool that is to run the collections, until the space is gone.
    pool: Mutex<Option<GcPool>>,
}

thread_local! {
    /// The control whose cycle this thread runs as a driver.
    static DRIVING: Cell<*const GcControl> = const { Cell::new(core::ptr::null()) };
}

/// Notes that this thread drives a control, until it is dropped.
pub(crate) struct DrivingControl {
    before: *const GcControl,
    _driving: Driving,
}

impl DrivingControl {
    pub(crate) fn begin(control: &GcControl) -> DrivingControl {
        let before = DRIVING.replace(core::ptr::from_ref(control));
        DrivingControl { before, _driving: Driving::begin() }
    }
}

impl Drop for DrivingControl {
    fn drop(&mut self) {
        DRIVING.set(self.before);
    }
}

impl GcControl {
    /// A control with settings. Give it to the builder of one space, then [`start`](GcControl::start) it.
    pub fn new(settings: GcSettings) -> Arc<GcControl> {
        let without_driver = match settings.mode {
            GcMode::Safepoints => SAFEPOINTS,
            _ => NOBODY,
        };
        Arc::new(GcControl {
            mark_sweep: MarkSweep::from_patience(settings.patience),
            pace: Mutex::new(Pace::new(settings.period, settings.period_share)),
            runner: AtomicU8::new(without_driver),
            without_driver: AtomicU8::new(without_driver),
            seat: Seat::new(),
            attached: Mutex::new(None),
            thread: Mutex::new(None),
            busy: Arc::new(Busy::new()),
            news: News::default(),
            stack_bytes: settings.stack_bytes,
            pool: Mutex::new(settings.pool),
        })
    }

    /// How long after the end of a collection the next one is due; `None`: never for reasons of time.
    pub fn period(&self) -> Option<Duration> {
        self.pace.lock().period.into()
    }

    /// Sets how long after the end of a collection the next one is due, effective at once: who sleeps is woken.
    ///
    /// `None`: never for reasons of time. Zero: one after the other without a pause, to shake out races;
    /// nothing else gets a program as slow. Else a collection comes when so long has gone by since the end of the
    /// last one, whoever ran that, and anything [changed](cspace_core::collector::ForCollectors::may_find_more) since it began: there was an exclusive
    /// access or a merge; a root, an owned value or another handle was dropped; bytes were charged or given back; a
    /// limit, a threshold or a size was set. In a space where nothing of that happens nobody collects, or wakes up.
    ///
    /// Beside a large heap collections are put off so that they take no more than a share of a core
    /// ([`set_period_share`](GcControl::set_period_share)), by ten periods at most. Minor collections put nothing
    /// off, nor does user code that the driver runs: after 10 ms of one piece of it, a cleaner, say, or more if much waits for
    /// the driver, another thread collects in its place, which leaves user code to the driver. It applies to collections that a thread runs, not to those of safepoints.
    pub fn set_period(&self, period: Option<Duration>) {
        self.pace.lock().period = Period::from(period);
        self.wake();
    }

    /// The part of a core that collections by time may take.
    pub fn period_share(&self) -> f64 {
        self.pace.lock().share
    }

    /// Sets the part of a core that collections by time may take, from 0 to 1, effective at once. Default: 0.1.
    ///
    /// A collection that took so long is followed by a rest: with 0.1, nine times as long. It ends after ten periods
    /// whatever the share, so that what is dead does not stay for ever. Larger: what has died is found sooner. 1 puts
    /// nothing off, 0 puts each collection off by ten periods. What is outside of that range counts as the nearer
    /// end of it, and what is not a number as 0.
    pub fn set_period_share(&self, share: f64) {
        self.pace.lock().share = share_of(share);
        self.wake();
    }

    /// Starts the thread, or has the pool run the collections. Nothing happens if one does already.
    ///
    /// # Errors
    ///
    /// If the system gives no thread; the space stays usable and manual. If this thread holds a space, runs a
    /// sweep, or runs a space's collections.
    pub fn start(self: &Arc<Self>, space: &Space) -> Result<(), StartError> {
        let name = || space.name().to_string();
        self.check_caller(
            || StartError::HoldsSpace { space: name() },
            || StartError::InSweep { space: name() },
            || StartError::FromCollector { space: name() },
        )?;
        self.start_new(space)
    }

    /// As [`start`](GcControl::start), for a space that was just built: nobody can be stopping its collector, so
    /// that it may be called by threads that hold other spaces.
    ///
    /// # Errors
    ///
    /// If the system gives no thread; the space stays usable and manual.
    pub fn start_new(self: &Arc<Self>, space: &Space) -> Result<(), StartError> {
        let name = || space.name().to_string();
        let Some(tenure) = self.seat.take() else { return Ok(()) };
        let pool = self.pool.lock().clone();
        match pool {
            Some(pool) => {
                let member = pool.enlist(self, space, tenure);
                self.attach(Attached::Pool(Arc::clone(&member)));
                self.seat.enter(tenure);
                member.wake();
            }
            None => {
                let driver = ThreadDriver::new(self, space, tenure);
                self.attach(Attached::Thread(Arc::clone(&driver)));
                match worker::spawn(Arc::clone(self), space, driver, self.stack_bytes) {
                    Ok(thread) => {
                        *self.thread.lock() = Some(thread);
                        self.seat.enter(tenure);
                    }
                    Err(source) => {
                        self.detach(NOBODY);
                        self.seat.leave(tenure);
                        return Err(StartError::Thread { space: name(), source });
                    }
                }
            }
        }
        Ok(())
    }

    /// Stops the thread and waits until it has ended, its present cycle included; of a pool or a driver only
    /// the cycle. Afterwards nothing is collected but by explicit calls, and by safepoints after a request.
    /// Nothing happens if none runs.
    ///
    /// # Errors
    ///
    /// If this thread holds a space, runs a sweep, or runs a space's collections: it might wait for itself.
    pub fn stop(&self, space: &Space) -> Result<(), StopError> {
        self.check_stop(space)?;
        self.without_driver.store(NOBODY, Relaxed);
        self.pause_checked();
        leave_evicted(space);
        Ok(())
    }

    /// As [`stop`](GcControl::stop), but if a driver comes and goes later, it is as it was before this.
    ///
    /// # Errors
    ///
    /// As [`stop`](GcControl::stop).
    pub fn pause(&self, space: &Space) -> Result<(), StopError> {
        self.check_stop(space)?;
        self.pause_checked();
        leave_evicted(space);
        Ok(())
    }

    fn check_stop(&self, space: &Space) -> Result<(), StopError> {
        let name = || space.name().to_string();
        self.check_caller(
            || StopError::HoldsSpace { space: name() },
            || StopError::InSweep { space: name() },
            || StopError::FromCollector { space: name() },
        )
    }

    fn pause_checked(&self) {
        let Some(tenure) = self.seat.ask_to_leave() else {
            self.runner.store(NOBODY, Relaxed);
            return;
        };
        // Told before it is waited for: it may be waiting for the lock or for readers.
        match &*self.attached.lock() {
            Some(Attached::Thread(driver)) => driver.stop(),
            Some(Attached::Pool(member)) => member.stop(),
            None => {}
        }
        self.seat.wait_idle();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
        self.detach(NOBODY);
        self.seat.leave(tenure);
        self.end_driving();
    }

    /// Whether a thread runs the collections: the space's own, a pool's, or the embedder's.
    pub fn is_running(&self) -> bool {
        self.seat.is_taken()
    }

    /// Whether the space's own thread or a pool runs the collections, rather than a thread of the embedder's.
    pub fn has_own_driver(&self) -> bool {
        match &*self.attached.lock() {
            Some(Attached::Pool(_)) => true,
            Some(Attached::Thread(_)) => self.thread.lock().is_some(),
            None => false,
        }
    }

    /// Takes the driver's seat for a thread of the embedder's.
    ///
    /// # Errors
    ///
    /// If somebody is in it.
    pub fn driver(self: &Arc<Self>, space: &Space) -> Result<GcDriver, StartError> {
        let name = || space.name().to_string();
        self.check_caller(
            || StartError::HoldsSpace { space: name() },
            || StartError::InSweep { space: name() },
            || StartError::FromCollector { space: name() },
        )?;
        let Some(tenure) = self.seat.take() else {
            return Err(StartError::Occupied { space: name() });
        };
        let driver = ThreadDriver::new(self, space, tenure);
        self.attach(Attached::Thread(Arc::clone(&driver)));
        self.seat.enter(tenure);
        Ok(GcDriver::new(Arc::clone(self), space.downgrade_to_collector(), driver, tenure))
    }

    fn check_caller<E>(
        &self,
        holds: impl FnOnce() -> E,
        sweeps: impl FnOnce() -> E,
        drives: impl FnOnce() -> E,
    ) -> Result<(), E> {
        if core::ptr::eq(DRIVING.get(), self) {
            return Err(drives());
        }
        if Space::is_sweeping() {
            return Err(sweeps());
        }
        if !Space::may_wait_for_cycle() {
            return Err(holds());
        }
        // Of another space: that one's thread may be doing the same to this one's.
        if Space::is_driving() {
            return Err(drives());
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn busy(&self) -> &Busy {
        &self.busy
    }

    #[cfg(test)]
    pub(crate) fn runs_user_code(&self) -> bool {
        self.busy.late_at().is_some()
    }

    #[cfg(test)]
    pub(crate) fn member(&self) -> Option<Arc<Member>> {
        match &*self.attached.lock() {
            Some(Attached::Pool(member)) => Some(Arc::clone(member)),
            _ => None,
        }
    }

    fn attach(&self, attached: Attached) {
        *self.attached.lock() = Some(attached);
        self.runner.store(DRIVER, Relaxed);
    }

    /// Nobody is in the seat any more.
    fn detach(&self, runner: u8) {
        self.runner.store(runner, Relaxed);
        let attached = self.attached.lock().take();
        if let Some(Attached::Thread(driver)) = attached {
            driver.stop_stand_in();
        }
    }

    /// A driver left by itself: mutators do what they did without it.
    pub(crate) fn driver_left(&self, tenure: Tenure) {
        if self.seat.begin_to_leave(tenure) {
            // Before the seat is vacant: what is attached then is the next driver's.
            self.detach(self.without_driver.load(Relaxed));
            self.seat.leave(tenure);
        }
        self.end_driving();
    }

    /// By a worker that ends: nobody will wait for its thread, unless somebody does already. Not by anybody else: to
    /// detach a thread at the moment at which it ends is a use after free in the C library of many systems.
    pub(crate) fn detach_thread(&self) {
        drop(self.thread.lock().take());
    }

    /// There is no driver any more: does what the last one did not get to.
    fn end_driving(&self) {
        take_over_from_driver(self.number());
        run_deferred();
    }

    /// What tells this control's driver from others, for as long as anything is left for it: that keeps the space
    /// alive, which keeps the control.
    fn number(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    // ---- what a driver does

    /// The driver begins to run user code, until what is returned is dropped: its stand-in is told when it may have to
    /// act.
    pub(crate) fn begin_user_code(&self, space: &Space) -> RunningUserCode {
        let running = self.busy.begin();
        if !running.is_outermost() {
            return RunningUserCode::new(running, None);
        }
        // With the mutex after the beginning, and before it is looked whether anything is due (SI1).
        let attached = self.attached.lock().clone();
        let Some((attached, late_at)) = attached.zip(self.busy.late_at()) else {
            return RunningUserCode::new(running, None);
        };
        let timer = match &attached {
            Attached::Thread(driver) => &driver.timer,
            Attached::Pool(member) => &member.timer,
        };
        let pace = *self.pace.lock();
        let at = match timer.due(pace, &self.look(space)) {
            // Of a change somebody is to be told.
            Due::Now | Due::WhenChanged => Some(late_at),
            Due::At(at) => Some(at.max(late_at)),
            Due::WhenWoken => None,
        };
        match &attached {
            Attached::Thread(driver) => {
                if let Some(at) = at {
                    driver.call_stand_in(at);
                }
                RunningUserCode::new(running, None)
            }
            Attached::Pool(member) => {
                RunningUserCode::new(running, Some(member.begin_user_code(&self.busy, at)))
            }
        }
    }

    /// From when on a stand-in collects in its driver's place, if that runs user code.
    pub(crate) fn stand_in_at(&self) -> Option<Instant> {
        self.busy.stand_in_at(deferred_count_of_driver(self.number()))
    }

    /// Whether its driver has run a piece of user code for long.
    pub(crate) fn is_late(&self) -> bool {
        self.busy.is_late()
    }

    /// Ends what other threads' cycles left before the call; whether there was anything. What they leave meanwhile is for the
    /// next time: a thread of a pool has others to serve.
    fn run_rests(&self, space: &Space) -> bool {
        if !self.has_rests() && !has_deferred() {
            return false;
        }
        let until = LeftUntil::now();
        let _running = self.begin_user_code(space);
        let any = self.run_rests_until(until);
        // What drops among them left for when this thread is done: the last batches of spaces, say.
        run_deferred();
        any
    }

    /// As the driver: ends what other threads' cycles left until then; whether there was anything.
    pub(crate) fn run_rests_until(&self, until: LeftUntil) -> bool {
        run_deferred_of_driver(self.number(), until)
    }

    /// As the driver that runs user code: what comes now is of its own cycle.
    pub(crate) fn begin_own_rest(&self) {
        self.busy.begin_rest();
    }

    /// Whether other threads' cycles left anything.
    pub(crate) fn has_rests(&self) -> bool {
        has_deferred_of_driver(self.number())
    }

    /// When there is something to do next.
    pub(crate) fn due(&self, space: &Space, timer: &Timer) -> Due {
        if self.needs_driver(space) {
            return Due::Now;
        }
        self.cycle_due(space, timer)
    }

    /// Whether anything is to be done that only a driver does.
    pub(crate) fn needs_driver(&self, space: &Space) -> bool {
        self.has_rests() || space.wants_delivery()
    }

    /// When the next cycle is due, whatever else there may be to do.
    pub(crate) fn cycle_due(&self, space: &Space, timer: &Timer) -> Due {
        loop {
            let look = self.look(space);
            let pace = *self.pace.lock();
            let due = timer.due(pace, &look);
            // What changed since the look wakes nobody: then it is looked again.
            if due != Due::WhenChanged || space.sleep_until_changed() {
                return due;
            }
        }
    }

    fn look(&self, space: &Space) -> Look {
        Look {
            now: Instant::now(),
            is_wanted: space.wants_collection(),
            has_changed: space.may_find_more(),
            last: space.last_full_cycle().map(|last| (last.ended, last.cost)),
        }
    }

    /// Does what is due, as a driver. When it failed, how long to wait before the next try; else none.
    pub(crate) fn drive(
        &self,
        space: &Space,
        timer: &Timer,
        failures: &mut u32,
        wait: LockWait<'_>,
        stay: &dyn Fn() -> bool,
    ) -> Result<Option<CollectReport>, (CollectError, Duration)> {
        let _driving = DrivingControl::begin(self);
        let mut has_waited = self.run_rests(space);
        if space.wants_delivery() {
            let delivered = {
                let _running = self.begin_user_code(space);
                self.mark_sweep.deliver(space, stay, *failures)
            };
            if delivered {
                *failures = 0;
            } else if self.cycle_due(space, timer) != Due::Now {
                return Err((
                    CollectError::Busy { space: space.name().to_string() },
                    retry(failures),
                ));
            }
            has_waited = true;
        }
        let drive = Drive { wait, stay, driven: Some(self), ..Drive::ALONE };
        self.cycle(space, timer, failures, has_waited, drive)
    }

    /// Does what is due in the driver's place, which is stuck in user code: runs none, and leaves the driver what there is
    /// of it. When it failed, how long to wait before the next try; else none. `is_late`: whether the driver still is.
    pub(crate) fn stand_in(
        &self,
        space: &Space,
        timer: &Timer,
        failures: &mut u32,
        (wait, stay): (LockWait<'_>, &dyn Fn() -> bool),
        is_late: &dyn Fn() -> bool,
    ) -> Result<(), (CollectError, Duration)> {
        let _driving = DrivingControl::begin(self);
        let hand_over = |rest: Rest| {
            let Some(events) = rest.news else { return self.hand_over(rest) };
            match self.news.count(rest.work) {
                Some(work) => self.hand_over(Rest { work, ..rest }),
                None => {
                    space.note_events_dropped(events);
                    Ok(())
                }
            }
        };
        let drive = Drive {
            wait,
            stay,
            user_code: UserCodeBy::DriverAlone,
            is_driver_busy: is_late,
            hand_over: &hand_over,
            ..Drive::ALONE
        };
        // It waited for the driver.
        self.cycle(space, timer, failures, true, drive).map(drop)
    }

    /// Runs the cycle that is due; `has_waited`: if it still is.
    fn cycle(
        &self,
        space: &Space,
        timer: &Timer,
        failures: &mut u32,
        mut has_waited: bool,
        drive: Drive<'_>,
    ) -> Result<Option<CollectReport>, (CollectError, Duration)> {
        loop {
            let Some(claim) = space.try_claim_cycle() else {
                // Of an embedder's driver: a `visit_objects` of that cycle may want what this thread holds.
                if !drive.may_wait() {
                    return Err((CollectError::Busy { space: space.name().to_string() }, RETRY));
                }
                if !space.wait_for_cycle(None, drive.wait.go_on) {
                    return Err((CollectError::Busy { space: space.name().to_string() }, RETRY));
                }
                has_waited = true;
                continue;
            };
            // Somebody else's cycle may have served.
            if has_waited && self.cycle_due(space, timer) != Due::Now {
                return Ok(None);
            }
            // A cycle that is due by time finds all that is dead.
            let pace = *self.pace.lock();
            let by_time = timer.is_over(pace, &self.look(space));
            let ran = if space.wants_collection() && !by_time {
                self.mark_sweep.run_part(space, claim, drive)
            } else {
                self.mark_sweep.run(space, claim, drive).map(Some)
            };
            match ran {
                Ok(report) => {
                    *failures = 0;
                    return Ok(report);
                }
                Err(CollectError::Transferred { .. }) => continue,
                Err(error) => {
                    if by_time {
                        // Whoever collects instead is to find all that is dead too.
                        space.request_gc();
                    }
                    return Err((error, retry(failures)));
                }
            }
        }
    }

    /// Calls `f` with how a thread drives a cycle beside a driver that may be there.
    pub(crate) fn beside_driver<R>(
        &self,
        user_code: UserCodeBy,
        f: impl FnOnce(Drive<'_>) -> R,
    ) -> R {
        let hand_over = |rest| self.hand_over(rest);
        let is_driver_busy = || self.busy.is_late();
        f(Drive {
            user_code,
            is_driver_busy: &is_driver_busy,
            hand_over: &hand_over,
            ..Drive::ALONE
        })
    }

    /// Gives the rest of a cycle to the driver, if there is one.
    fn hand_over(&self, rest: Rest) -> Result<(), Rest> {
        let attached = self.attached.lock();
        if attached.is_none() {
            return Err(rest);
        }
        // With the mutex held: whoever detaches looks for rests afterwards.
        defer_to_driver(self.number(), rest.ticket, rest.work);
        drop(attached);
        self.wake();
        Ok(())
    }
}

/// Notes another failure; returns how long to wait before the next try.
fn retry(failures: &mut u32) -> Duration {
    *failures = failures.saturating_add(1);
    let factor = 1u32.checked_shl(*failures - 1).unwrap_or(RETRY_FACTOR_MAX);
    RETRY * factor.min(RETRY_FACTOR_MAX)
}

/// A driver has left: what it did not deliver, whoever comes to a safepoint does.
pub(crate) fn leave_evicted(space: &Space) {
    if space.has_evicted() {
        space.request_yield();
    }
}

impl Collector for GcControl {
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
        self.beside_driver(UserCodeBy::Caller, |drive| self.mark_sweep.collect_now(space, drive))
    }

    fn at_safepoint(&self, space: &Space) {
        self.beside_driver(UserCodeBy::Driver, |drive| {
            self.mark_sweep.collect_at_safepoint(space, drive);
        });
    }

    fn runner(&self) -> Runner {
        match self.runner.load(Relaxed) {
            NOBODY => Runner::Nobody,
            SAFEPOINTS => Runner::Safepoints,
            _ if self.busy.is_late() => Runner::BusyDriver,
            _ => Runner::Driver,
        }
    }

    fn wake(&self) {
        let attached = self.attached.lock().clone();
        // Looked at after that (SI1).
        let late_at = self.busy.late_at();
        match &attached {
            Some(Attached::Thread(driver)) => {
                driver.signal.wake();
                if let Some(at) = late_at {
                    driver.call_stand_in(at);
                }
            }
            Some(Attached::Pool(member)) => {
                member.wake();
                if let Some(at) = late_at {
                    member.call_stand_in(at);
                }
            }
            None => {}
        }
    }

    fn space_gone(&self) {
        let (attached, pool) = (self.attached.lock().take(), self.pool.lock().take());
        // Handles that outlive the space may keep this control, but no threads.
        drop(pool);
        match attached {
            Some(Attached::Thread(driver)) => driver.stop(),
            Some(Attached::Pool(member)) => member.stop(),
            None => {}
        }
        // A worker ends by itself, and then lets go of its thread's handle. It may be this thread, or run a drop that
        // waits for it.
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A mutator would have run a minor one in its place, again and again.
    #[test]
    fn a_cycle_that_is_due_by_time_and_cannot_begin_is_asked_for() {
        let settings = GcSettings { period: Some(Duration::from_nanos(1)), ..Default::default() };
        let control = GcControl::new(settings);
        let space = Space::builder().build().unwrap();
        space.exclusive(|cx| cx.alloc([0u64; 20_000]).addr());
        assert!(!space.wants_collection());
        let ((holds, held), (end, ended)) = (channel(), channel::<()>());
        std::thread::scope(|scope| {
            let space = &space;
            scope.spawn(move || {
                space.exclusive(|_| {
                    holds.send(()).unwrap();
                    ended.recv().unwrap_err();
                })
            });
            held.recv().unwrap();
            let wait = LockWait { slice: Duration::from_millis(1), go_on: &|| false };
            let timer = Timer::new(Instant::now());
            let driven = control.drive(space, &timer, &mut 0, wait, &|| true);
            drop(end);
            assert!(matches!(driven, Err((CollectError::Busy { .. }, _))));
            assert!(space.wants_collection());
        });
    }
}
