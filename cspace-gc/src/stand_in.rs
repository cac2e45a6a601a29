//! The stand-in: a thread that runs the collections of a driver that is stuck in user code.
//!
//! A driver that runs cleaners, hooks, drops, listeners or `on_evict` does not know how long they take. While they do,
//! what is due by time or was asked for is nobody's, unless a mutator happens to come to a safepoint. So a driver that
//! is [late](crate::busy::Busy) has a stand-in. That one runs cycles as the driver would, but neither cleaners nor hooks,
//! drops, listeners or `on_evict`: these it leaves to the driver, in order. On its thread none can run, whatever it lets go
//! of: it is a [`Bystander`]. What belongs to the mark it runs as whoever marks does, `visit_objects` and the eviction
//! policy, which is called after the mark too, with the claim held.
//!
//! It acts only while the driver is stuck in one piece of user code, and the more waits for the driver already the longer that
//! has to be ([`Busy::stand_in_at`](crate::busy::Busy::stand_in_at)): it does not give a driver more than that gets done.
//!
//! A stand-in sleeps until it is called. Three call it, each for the time at which it may have to act, which is never
//! before the driver is late:
//!
//! - a driver that begins to run user code, for the time at which the next collection is due, if there is one;
//! - whoever wakes a driver while that runs user code: for a request, the budget, a change after a period that is over, a
//!   new period;
//! - in a pool, a driver that is the last thread to become busy, for the spaces that wait for a thread.
//!
//! A driver whose user code is over does not take its call back, which would be another wake-up. A stand-in that was called
//! and finds nothing to do stays awake for one more such time, as it will be called for that one too if user code is run in
//! each period; then it sleeps for good. So it wakes up once for each period with user code at most, and never where nothing
//! happens.
//!
//! - **SI1 (heard).** User code begins before, and a request is made before, the control's mutex is taken by both: so either
//!   the driver sees the request, or who makes it sees the user code, and calls.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use cspace_core::collector::{
    leave_to_reaper, Bystander, CollectorHandle, Driving, LockWait, WeakCollectorHandle,
};

use crate::busy::Running;
use crate::control::{GcControl, STOP_CHECK};
use crate::period::{Due, Timer};
use crate::pool::BusyMember;
use crate::protocol::{Alarm, Rang, Seat, Signal, Tenure};
use crate::worker::STACK_BYTES;

/// So many collections may wait to be told of. A driver may be stuck for ever, and what it does not come to must not grow
/// for ever: beyond that, those that left nothing else to run are not told of, but counted.
pub(crate) const NEWS_MAX: usize = 1024;

/// A stand-in's alarm, and how its thread is started.
pub(crate) struct StandIn(Alarm);

impl StandIn {
    pub(crate) fn new() -> Arc<StandIn> {
        Arc::new(StandIn(Alarm::new()))
    }

    /// It is to look at that time. `look` is what its thread does then, if there is none yet; it returns when to look again.
    ///
    /// Called inside of accesses too. If there is no thread to be had, things are as without a stand-in.
    pub(crate) fn call<L>(self: &Arc<Self>, at: Instant, name: &str, look: impl FnOnce() -> L)
    where
        L: FnMut() -> Option<Instant> + Send + 'static,
    {
        // In an interpreter every driver is late.
        if cfg!(miri) || !self.0.set(at) {
            return;
        }
        let (this, look) = (Arc::clone(self), look());
        // At a thread's very end the standard library may refuse by a panic.
        let started = catch_unwind(AssertUnwindSafe(|| this.start(name, look)));
        if !matches!(started, Ok(Ok(()))) {
            self.0.has_no_thread();
        }
    }

    fn start(
        self: Arc<Self>,
        name: &str,
        mut look: impl FnMut() -> Option<Instant> + Send + 'static,
    ) -> io::Result<()> {
        // Systems show the first fifteen bytes or so; a zero byte cannot be in a thread's name.
        let name = format!("gc+ {name}").replace('\0', " ");
        let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        builder.spawn(move || {
            // For the thread's whole life.
            core::mem::forget((Driving::begin(), Bystander::begin()));
            while let Some(Rang { ahead }) = self.0.wait() {
                let next = look();
                // What it let go of.
                leave_to_reaper();
                // If it was called for nothing it will be called again, if at all, for as much later.
                self.0.ring_again(next.or_else(|| Instant::now().checked_add(ahead?)));
            }
        })?;
        Ok(())
    }

    /// Its thread ends as soon as it has done what it does.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }

    /// Whether it is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// The earlier one of two times that may not come.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// How much is left for a driver that only tells of collections.
#[derive(Clone, Default)]
pub(crate) struct News(Arc<AtomicUsize>);

impl News {
    /// Work that counts as news until it is done; none if there is too much of it.
    pub(crate) fn count(&self, work: Box<dyn FnOnce() + Send>) -> Option<Box<dyn FnOnce() + Send>> {
        // One thread adds.
        if self.0.load(Relaxed) >= NEWS_MAX {
            return None;
        }
        self.0.fetch_add(1, Relaxed);
        let news = self.clone();
        Some(Box::new(move || {
            news.0.fetch_sub(1, Relaxed);
            work();
        }))
    }
}

/// A stand-in at work in a seat.
pub(crate) struct StandingIn<'s>(&'s Seat);

impl<'s> StandingIn<'s> {
    /// None if the driver is to leave, or has.
    pub(crate) fn begin(seat: &'s Seat, tenure: Tenure) -> Option<StandingIn<'s>> {
        // Made only then: its drop ends what began.
        seat.begin_stand_in(tenure).then(|| StandingIn(seat))
    }
}

impl Drop for StandingIn<'_> {
    fn drop(&mut self) {
        self.0.end_stand_in();
    }
}

/// A space, for a stand-in.
pub(crate) enum Found {
    Here(CollectorHandle),
    /// Somebody is destroying it, and waits for the driver perhaps: it is to be looked for again then.
    Closing(Instant),
    Gone,
}

/// Looks for a space without waiting for anybody.
pub(crate) fn find(space: &WeakCollectorHandle) -> Found {
    match space.try_upgrade() {
        Some(space) => Found::Here(space),
        None if space.is_there() => Found::Closing(Instant::now() + STOP_CHECK),
        None => Found::Gone,
    }
}

/// A worker or an embedder's driver, as others see it, and its stand-in.
pub(crate) struct ThreadDriver {
    pub(crate) signal: Arc<Signal>,
    stand_in: Arc<StandIn>,
    control: Weak<GcControl>,
    space: WeakCollectorHandle,
    tenure: Tenure,
    pub(crate) timer: Timer,
    name: Box<str>,
}

impl ThreadDriver {
    pub(crate) fn new(
        control: &Arc<GcControl>,
        space: &cspace_core::Space,
        tenure: Tenure,
    ) -> Arc<ThreadDriver> {
        Arc::new(ThreadDriver {
            signal: Arc::new(Signal::new()),
            stand_in: StandIn::new(),
            control: Arc::downgrade(control),
            space: space.downgrade_to_collector(),
            tenure,
            timer: Timer::new(Instant::now()),
            name: space.name().into(),
        })
    }

    /// Tells the driver and its stand-in to stop.
    pub(crate) fn stop(&self) {
        self.signal.stop();
        self.stand_in.stop();
    }

    /// Only the stand-in: the driver left.
    pub(crate) fn stop_stand_in(&self) {
        self.stand_in.stop();
    }

    pub(crate) fn call_stand_in(self: &Arc<Self>, at: Instant) {
        self.stand_in.call(at, &self.name, || {
            let (this, mut failures) = (Arc::clone(self), 0);
            move || this.stand_in(&mut failures)
        });
    }

    /// Collects in the driver's place for as long as it is late and something is due; returns when to look again.
    fn stand_in(&self, failures: &mut u32) -> Option<Instant> {
        loop {
            if self.stand_in.is_stopped() {
                return None;
            }
            let control = self.control.upgrade()?;
            let begin_at = control.stand_in_at()?;
            if begin_at > Instant::now() {
                return Some(begin_at);
            }
            let space = match find(&self.space) {
                Found::Here(space) => space,
                Found::Closing(at) => return Some(at),
                Found::Gone => return None,
            };
            let _standing_in = StandingIn::begin(&control.seat, self.tenure)?;
            match control.cycle_due(&space, &self.timer) {
                Due::Now => {
                    let go_on = || !self.stand_in.is_stopped();
                    let wait = LockWait { slice: STOP_CHECK, go_on: &go_on };
                    let (wait, is_late) = ((wait, &go_on as &_), || control.is_late());
                    let ran = control.stand_in(&space, &self.timer, failures, wait, &is_late);
                    if let Err((_, retry)) = ran {
                        return Instant::now().checked_add(retry);
                    }
                }
                Due::At(at) => return Some(at),
                Due::WhenChanged | Due::WhenWoken => return None,
            }
        }
    }
}

/// Until it is dropped, a driver runs user code.
pub(crate) struct RunningUserCode {
    /// Dropped first.
    _member: Option<BusyMember>,
    _running: Running,
}

impl RunningUserCode {
    pub(crate) fn new(running: Running, member: Option<BusyMember>) -> RunningUserCode {
        RunningUserCode { _member: member, _running: running }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn in_an_hour() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn a_stand_in_is_woken_for_what_is_earlier_than_its_time_only() {
        let alarm = Alarm::new();
        let first = in_an_hour();
        assert!(alarm.set(first), "it has no thread");
        assert!(!alarm.set(first + Duration::from_secs(1)));
        assert_eq!(alarm.at(), Some(first));
        let now = Instant::now();
        assert!(!alarm.set(now));
        assert_eq!(alarm.at(), Some(now));
        assert_eq!(alarm.wait(), Some(Rang { ahead: Some(Duration::ZERO) }));
        assert_eq!(alarm.at(), None);
        alarm.ring_again(Some(now));
        // Nobody called since.
        assert_eq!(alarm.wait(), Some(Rang { ahead: None }));
        alarm.has_no_thread();
        assert!(alarm.set(now), "it has none again");
        alarm.stop();
        assert_eq!(alarm.wait(), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "there are no stand-ins")]
    fn the_thread_of_a_stand_in_begins_with_the_first_call_and_ends_when_it_is_stopped() {
        let stand_in = StandIn::new();
        let (looks, looked) = channel();
        let call = |at| {
            let looks = looks.clone();
            stand_in.call(at, "", || {
                move || {
                    looks.send(thread::current().id()).unwrap();
                    None
                }
            });
        };
        call(Instant::now());
        let first = looked.recv().unwrap();
        call(Instant::now());
        assert_eq!(looked.recv().unwrap(), first);
        call(in_an_hour());
        stand_in.stop();
        call(Instant::now());
        drop(looks);
        // The thread had the last sender.
        while looked.recv().is_ok() {}
    }

    #[test]
    fn a_stand_in_that_is_refused_has_not_begun() {
        let seat = Seat::new();
        let tenure = seat.take().unwrap();
        seat.enter(tenure);
        drop(StandingIn::begin(&seat, tenure).expect("the driver is there"));
        let leaving = seat.ask_to_leave().unwrap();
        assert!(StandingIn::begin(&seat, tenure).is_none());
        seat.wait_idle();
        seat.leave(leaving);
    }

    #[test]
    fn what_is_told_of_has_a_limit_until_it_was_told() {
        let news = News::default();
        let mut left: Vec<_> =
            (0..NEWS_MAX).map(|_| news.count(Box::new(|| ())).unwrap()).collect();
        assert!(news.count(Box::new(|| ())).is_none());
        (left.pop().unwrap())();
        assert!(news.count(Box::new(|| ())).is_some());
    }
}
