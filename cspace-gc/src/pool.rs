//! [`GcPool`]: a few threads that run the collections of any number of spaces.
//!
//! A space in a pool costs a record and no thread. When it is woken (by its budget, a request, its period) it
//! enters a queue, and the next thread that is free serves it once. No space may hold a thread up: the lock
//! is waited for only for a moment, then the cycle is left to whoever holds it, at its next safepoint; readers
//! who stay are waited for somewhat longer, then the cycle is given up and tried again.
//!
//! Nor may user code. Of a space whose user code a thread is stuck in, the pool's stand-in (`stand_in.rs`) runs the
//! cycles; and when all threads are, it serves the queue too, but for user code. A space that has some to be run, or
//! evicted objects to be delivered, is *owed* that: it is served once more when a thread is free.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use cspace_core::collector::{
    has_deferred, leave_to_reaper, run_deferred, Bystander, Driving, ForCollectors, LockWait,
    WeakCollectorHandle,
};
use cspace_core::Space;
use parking_lot::{Condvar, Mutex};

use crate::busy::Busy;
use crate::control::GcControl;
use crate::error::PoolError;
use crate::period::{Due, Timer};
use crate::protocol::{Tenure, Turn};
use crate::stand_in::{earlier, find, Found, StandIn, StandingIn};
use crate::worker::STACK_BYTES;

/// How long a thread waits for one space's lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(5);
/// How long a thread waits for the readers of one space to leave.
const READER_PATIENCE: Duration = Duration::from_millis(150);

/// Threads that run the collections of any number of spaces.
///
/// Given to a space when it is built. For processes with many spaces: one for each request, tenant or actor.
/// The threads also run cleaners and drops of dead objects, so one that blocks holds a thread up; no collection, though:
/// another thread runs those in its place then, and leaves cleaners and drops to the pool's threads. That one is started
/// when it may be needed for the first time, and ends with the pool.
///
/// A pool is a handle, `Clone`, and lives as long as a handle or a space in it does.
///
/// ```
/// use cspace_core::Space;
/// use cspace_gc::{GcControl, GcPool, GcSettings};
/// use std::time::Duration;
///
/// let pool = GcPool::new(2)?;
/// for i in 0..100 {
///     let control = GcControl::new(GcSettings { pool: Some(pool.clone()), ..GcSettings::default() });
///     let space = Space::builder().name(format!("tenant {i}")).collector(control.clone()).build()?;
///     control.start(&space)?;
///     space.request_gc();
///     space.wait_for_gc_after(0, Duration::from_secs(60))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct GcPool(Arc<Handle>);

/// What handles and spaces count; the threads do not.
struct Handle {
    shared: Arc<Shared>,
    thread_count: usize,
}

impl Drop for Handle {
    /// The threads end by themselves: this may be one of them.
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.stopped = true;
        // Of spaces that are gone; nobody will serve them, and they would keep the queue that they are in.
        let left = (core::mem::take(&mut queue.ready), core::mem::take(&mut queue.owed));
        drop(queue);
        drop(left);
        self.shared.changed.notify_all();
        self.shared.stand_in.stop();
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    thread_count: usize,
    stand_in: Arc<StandIn>,
}

#[derive(Default)]
struct Queue {
    /// Those to be served, by a number each, so that the one that waits longest is the first.
    ready: BTreeMap<u64, Arc<Member>>,
    /// Those to be looked at later, by when, and a number that tells those of one moment apart.
    alarms: BTreeMap<(Instant, u64), Weak<Member>>,
    /// Those that the stand-in served, and that have something for a thread, by a number each.
    owed: BTreeMap<u64, Arc<Member>>,
    /// Of each thread that runs user code.
    busy: Vec<BusyThread>,
    /// Numbers that were given.
    number: u64,
    stopped: bool,
}

/// A thread that runs user code.
struct BusyThread {
    number: u64,
    /// When it is late, which changes with each piece of user code.
    busy: Arc<Busy>,
    /// Whose it is; none of a space that has ended.
    member: Option<Arc<Member>>,
}

/// Where a member is in the queue.
#[derive(Default)]
struct Place {
    ready: Option<u64>,
    owed: Option<u64>,
    alarm: Option<(Instant, u64)>,
    /// It never comes into the queue again.
    has_left: bool,
}

/// A space in a pool.
pub(crate) struct Member {
    shared: Arc<Shared>,
    control: Weak<GcControl>,
    space: WeakCollectorHandle,
    tenure: Tenure,
    turn: Turn,
    stopped: AtomicBool,
    /// Changed with the queue locked too, before it.
    place: Mutex<Place>,
    pub(crate) timer: Timer,
    /// Failures in a row, of the thread that serves it.
    failures: Mutex<u32>,
    /// And of a stand-in that does beside one.
    failures_beside: Mutex<u32>,
}

/// Who serves a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Thread,
    StandIn,
}

impl GcPool {
    /// A pool with so many threads.
    ///
    /// # Errors
    ///
    /// If it is to have none, or the system gives none.
    pub fn new(thread_count: usize) -> Result<GcPool, PoolError> {
        if thread_count == 0 {
            return Err(PoolError::NoThreads);
        }
        let shared = Arc::new(Shared::new(thread_count));
        // Its drop ends the threads that were started, if one is refused.
        let pool = GcPool(Arc::new(Handle { shared: Arc::clone(&shared), thread_count }));
        for i in 0..thread_count {
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("gc pool {i}"));
            builder.stack_size(STACK_BYTES).spawn(move || {
                // For the thread's whole life: the last handle on a space may go between collections too, and with it
                // what its callbacks captured.
                core::mem::forget(Driving::begin());
                shared.run();
            })?;
        }
        Ok(pool)
    }

    /// How many threads it has.
    pub fn thread_count(&self) -> usize {
        self.0.thread_count
    }

    pub(crate) fn enlist(
        &self,
        control: &Arc<GcControl>,
        space: &Space,
        tenure: Tenure,
    ) -> Arc<Member> {
        Arc::new(Member {
            shared: Arc::clone(&self.0.shared),
            control: Arc::downgrade(control),
            space: space.downgrade_to_collector(),
            tenure,
            turn: Turn::new(),
            stopped: AtomicBool::new(false),
            place: Mutex::default(),
            timer: Timer::new(Instant::now()),
            failures: Mutex::new(0),
            failures_beside: Mutex::new(0),
        })
    }
}

impl fmt::Debug for GcPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcPool").field("threads", &self.thread_count()).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(thread_count: usize) -> Shared {
        let (queue, changed, stand_in) = (Mutex::default(), Condvar::new(), StandIn::new());
        Shared { queue, changed, thread_count, stand_in }
    }

    fn run(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        while !queue.stopped {
            let now = Instant::now();
            queue.pay();
            let next = queue.ring(now);
            if let Some(member) = queue.next() {
                drop(queue);
                member.serve(By::Thread);
                self.run_deferred();
                // Dropping it may drop the pool, which takes the queue's mutex.
                drop(member);
                queue = self.queue.lock();
            } else if let Some(at) = next {
                self.changed.wait_until(&mut queue, at);
            } else {
                self.changed.wait(&mut queue);
            }
        }
    }
}

impl Shared {
    /// Runs what came of a space that ended.
    fn run_deferred(self: &Arc<Self>) {
        if has_deferred() {
            let busy = Arc::new(Busy::new());
            let _running = busy.begin();
            let _busy = self.begin_user_code(&busy, None, None);
            run_deferred();
        }
    }

    /// A thread begins to run user code, until what is returned is dropped; something is due at `at`.
    fn begin_user_code(
        self: &Arc<Self>,
        busy: &Arc<Busy>,
        member: Option<Arc<Member>>,
        at: Option<Instant>,
    ) -> BusyMember {
        let mut queue = self.queue.lock();
        let number = queue.take_number();
        queue.busy.push(BusyThread { number, busy: Arc::clone(busy), member });
        let at = earlier(at, self.queue_due(&queue));
        drop(queue);
        if let Some(at) = at {
            self.call_stand_in(at);
        }
        BusyMember { shared: Arc::clone(self), number }
    }

    /// When the stand-in may have to serve the queue, as all threads are busy.
    fn queue_due(&self, queue: &Queue) -> Option<Instant> {
        if queue.busy.len() < self.thread_count {
            return None;
        }
        let late_at = queue.busy.iter().filter_map(|thread| thread.busy.late_at()).max()?;
        if !queue.ready.is_empty() {
            return Some(late_at);
        }
        queue.alarms.first_key_value().map(|(alarm, _)| alarm.0.max(late_at))
    }

    /// Whether all threads have run user code for long.
    fn is_late(&self) -> bool {
        let queue = self.queue.lock();
        queue.busy.iter().filter(|thread| thread.busy.is_late()).count() >= self.thread_count
    }

    fn call_stand_in(self: &Arc<Self>, at: Instant) {
        self.stand_in.call(at, "pool", || {
            let this = Arc::clone(self);
            move || this.stand_in()
        });
    }

    /// Does what is due in the place of threads that are late, for as long as they are; returns when to look again.
    fn stand_in(&self) -> Option<Instant> {
        loop {
            let mut queue = self.queue.lock();
            if queue.stopped {
                return None;
            }
            let now = Instant::now();
            // Each is asked once: it may go on to its next piece meanwhile.
            let (mut late, mut late_count, mut next) = (Vec::new(), 0, None);
            for thread in &queue.busy {
                let late_at = thread.busy.late_at();
                if late_at.is_some_and(|late_at| late_at <= now) {
                    late_count += 1;
                    late.extend(thread.member.clone());
                } else {
                    next = earlier(next, late_at);
                }
            }
            let is_all = late_count >= self.thread_count;
            let mut ready = None;
            if is_all {
                next = earlier(next, queue.ring(now));
                ready = queue.next();
            }
            drop(queue);
            let mut is_more = ready.is_some();
            if let Some(member) = ready {
                member.serve(By::StandIn);
            }
            for member in late {
                match member.stand_in() {
                    Due::Now => is_more = true,
                    Due::At(at) => next = earlier(next, Some(at)),
                    Due::WhenChanged | Due::WhenWoken => {}
                }
            }
            if !is_more {
                return next;
            }
            // What it let go of.
            leave_to_reaper();
        }
    }
}

/// Until it is dropped, a thread of a pool runs user code.
pub(crate) struct BusyMember {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for BusyMember {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        let at = queue.busy.iter().position(|busy| busy.number == self.number);
        let ended = at.map(|at| queue.busy.swap_remove(at));
        drop(queue);
        // Dropping it may drop the pool, which takes the queue's mutex.
        drop(ended);
    }
}

impl Queue {
    /// Makes those ready that are owed something: a thread is free.
    fn pay(&mut self) {
        while let Some((_, member)) = self.owed.pop_first() {
            member.place.lock().owed = None;
            if member.turn.wake() {
                self.push(member);
            }
        }
    }

    fn take_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn push(&mut self, member: Arc<Member>) {
        let number = self.take_number();
        let mut place = member.place.lock();
        if place.has_left {
            return;
        }
        place.ready = Some(number);
        drop(place);
        self.ready.insert(number, member);
    }

    /// The next to be served.
    fn next(&mut self) -> Option<Arc<Member>> {
        let (_, member) = self.ready.pop_first()?;
        member.place.lock().ready = None;
        Some(member)
    }

    /// Makes those ready whose time has come; returns when the next one's does.
    fn ring(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let alarm = self.alarms.first_entry()?;
            let next = alarm.key().0;
            if next > now {
                return Some(next);
            }
            if let Some(member) = alarm.remove().upgrade() {
                member.place.lock().alarm = None;
                if member.turn.wake() {
                    self.push(member);
                }
            }
        }
    }
}

impl Member {
    /// Something may be to do.
    pub(crate) fn wake(self: &Arc<Self>) {
        if self.turn.wake() {
            self.enqueue();
        }
    }

    /// The space leaves the pool, which has nothing of it afterwards, but for a thread that is at work on it.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        let mut queue = self.shared.queue.lock();
        let mut place = self.place.lock();
        place.has_left = true;
        let ready = place.ready.take().and_then(|number| queue.ready.remove(&number));
        let owed = place.owed.take().and_then(|number| queue.owed.remove(&number));
        let alarm = place.alarm.take().and_then(|alarm| queue.alarms.remove(&alarm));
        drop((place, queue));
        drop((ready, owed, alarm));
    }

    /// A thread begins to run user code of the space's, as [`Shared::begin_user_code`].
    pub(crate) fn begin_user_code(
        self: &Arc<Self>,
        busy: &Arc<Busy>,
        at: Option<Instant>,
    ) -> BusyMember {
        self.shared.begin_user_code(busy, Some(Arc::clone(self)), at)
    }

    pub(crate) fn call_stand_in(&self, at: Instant) {
        self.shared.call_stand_in(at);
    }

    fn enqueue(self: &Arc<Self>) {
        let mut queue = self.shared.queue.lock();
        if queue.stopped {
            return;
        }
        queue.push(Arc::clone(self));
        let at = self.shared.queue_due(&queue);
        drop(queue);
        match at {
            // No thread waits.
            Some(at) => self.shared.call_stand_in(at),
            None => _ = self.shared.changed.notify_one(),
        }
    }

    /// A thread is to look for what a stand-in left it.
    fn owe(self: &Arc<Self>) {
        let mut queue = self.shared.queue.lock();
        let mut place = self.place.lock();
        if place.has_left || place.owed.is_some() || queue.stopped {
            return;
        }
        let number = queue.take_number();
        place.owed = Some(number);
        queue.owed.insert(number, Arc::clone(self));
        drop((place, queue));
        // One may have become free meanwhile.
        self.shared.changed.notify_one();
    }

    /// Looks again then, if not before.
    fn set_alarm(self: &Arc<Self>, at: Instant) {
        let mut queue = self.shared.queue.lock();
        let mut place = self.place.lock();
        // One that rings too early does no harm: it is looked whether something is due.
        if place.has_left || place.alarm.is_some_and(|(set, _)| set <= at) {
            return;
        }
        let alarm = (at, queue.take_number());
        if let Some(later) = place.alarm.replace(alarm) {
            queue.alarms.remove(&later);
        }
        queue.alarms.insert(alarm, Arc::downgrade(self));
        drop((place, queue));
        // Whoever sleeps until a later one has to know.
        self.shared.changed.notify_one();
    }

    /// Does once what is due.
    fn serve(self: &Arc<Self>, by: By) {
        self.turn.begin();
        let due = self.work(by);
        if let Due::At(at) = due {
            self.set_alarm(at);
        }
        if due == Due::Now {
            // Behind those that are in the queue.
            self.turn.wake();
        }
        if self.turn.end() {
            if by == By::Thread {
                // They come before this one does again: a stand-in that serves them beside it leaves them where they are.
                self.shared.queue.lock().pay();
            }
            self.enqueue();
        }
    }

    /// Collects if that is due; returns when to look again.
    fn work(self: &Arc<Self>, by: By) -> Due {
        let Some(control) = self.control.upgrade() else { return Due::WhenWoken };
        let space = match by {
            By::Thread => self.space.upgrade(),
            By::StandIn => match find(&self.space) {
                Found::Here(space) => Some(space),
                Found::Closing(at) => return Due::At(at),
                Found::Gone => None,
            },
        };
        let Some(space) = space else { return Due::WhenWoken };
        let due = self.work_on(&control, &space, by);
        // If it is the last handle, what ends with the space is run when the thread is noted as busy with it.
        let _bystander = Bystander::begin();
        drop(space);
        due
    }

    fn work_on(self: &Arc<Self>, control: &GcControl, space: &Space, by: By) -> Due {
        if !control.seat.begin_work(self.tenure) {
            return Due::WhenWoken;
        }
        /// Ends the work also when a panic gets here.
        struct AtWork<'a>(&'a GcControl, Tenure);
        impl Drop for AtWork<'_> {
            fn drop(&mut self) {
                self.0.seat.end_work(self.1);
            }
        }
        let _at_work = AtWork(control, self.tenure);
        let due = self.collect_if_due(control, space, &mut self.failures.lock(), by);
        if by == By::StandIn && control.needs_driver(space) {
            self.owe();
        }
        due
    }

    /// Collects beside the thread that serves it, which is late; returns when to look again.
    fn stand_in(&self) -> Due {
        let Some(control) = self.control.upgrade() else { return Due::WhenWoken };
        match control.stand_in_at() {
            Some(at) if at > Instant::now() => return Due::At(at),
            Some(_) => {}
            None => return Due::WhenWoken,
        }
        let space = match find(&self.space) {
            Found::Here(space) => space,
            Found::Closing(at) => return Due::At(at),
            Found::Gone => return Due::WhenWoken,
        };
        let Some(_standing_in) = StandingIn::begin(&control.seat, self.tenure) else {
            return Due::WhenWoken;
        };
        self.collect_if_due(&control, &space, &mut self.failures_beside.lock(), By::StandIn)
    }

    fn collect_if_due(
        &self,
        control: &GcControl,
        space: &Space,
        failures: &mut u32,
        by: By,
    ) -> Due {
        let look = || match by {
            By::Thread => control.due(space, &self.timer),
            By::StandIn => control.cycle_due(space, &self.timer),
        };
        let due = look();
        if due != Due::Now {
            return due;
        }
        let begun = Instant::now();
        let go_on = || !self.stopped.load(Relaxed) && begun.elapsed() < LOCK_PATIENCE;
        let marked = Cell::new(None);
        let stay = || {
            let since = marked.get().unwrap_or_else(Instant::now);
            marked.set(Some(since));
            !self.stopped.load(Relaxed) && since.elapsed() < READER_PATIENCE
        };
        let wait = LockWait { slice: LOCK_PATIENCE / 2, go_on: &go_on };
        let ran = match by {
            By::Thread => control.drive(space, &self.timer, failures, wait, &stay).map(drop),
            By::StandIn => {
                let is_late = || control.is_late() || self.shared.is_late();
                control.stand_in(space, &self.timer, failures, (wait, &stay), &is_late)
            }
        };
        match ran {
            Ok(()) => look(),
            Err(_) if self.stopped.load(Relaxed) => Due::WhenWoken,
            Err((_, retry)) => {
                // Whoever holds the lock runs the cycle, if it comes to a safepoint before the retry. Not if all that
                // failed is a delivery: that is for this thread.
                if space.wants_collection() || !space.wants_delivery() {
                    space.set_overdue();
                }
                begun.checked_add(retry.max(LOCK_PATIENCE)).map_or(Due::WhenWoken, Due::At)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::GcSettings;

    /// A pool whose threads are busy for ever.
    fn pool_without_threads() -> GcPool {
        GcPool(Arc::new(Handle { shared: Arc::new(Shared::new(1)), thread_count: 1 }))
    }

    #[test]
    fn a_pool_that_ends_keeps_nothing_that_is_in_its_queue() {
        for is_woken_late in [false, true] {
            let pool = pool_without_threads();
            let shared = Arc::downgrade(&pool.0.shared);
            let settings = GcSettings { pool: Some(pool.clone()), ..GcSettings::default() };
            let control = GcControl::new(settings);
            let space = Space::builder().collector(control.clone()).build().unwrap();
            let tenure = control.seat.take().unwrap();
            let member = pool.enlist(&control, &space, tenure);
            drop((space, control));
            if !is_woken_late {
                member.wake();
            }
            drop(pool);
            if is_woken_late {
                member.wake();
            }
            drop(member);
            assert!(shared.upgrade().is_none(), "the queue keeps itself");
        }
    }

    /// A space in a pool, with its member, whose alarm is set for an hour later.
    fn member_with_alarm(pool: &GcPool) -> (Space, Arc<GcControl>, Arc<Member>) {
        let settings = GcSettings { pool: Some(pool.clone()), ..GcSettings::default() };
        let control = GcControl::new(settings);
        let space = Space::builder().collector(control.clone()).build().unwrap();
        control.start(&space).unwrap();
        let member = control.member().unwrap();
        member.set_alarm(Instant::now() + Duration::from_secs(3600));
        (space, control, member)
    }

    #[test]
    fn a_pool_has_nothing_of_a_space_that_left_it() {
        let pool = pool_without_threads();
        let in_queue = || {
            let queue = pool.0.shared.queue.lock();
            (queue.ready.len(), queue.alarms.len())
        };
        for is_stopped in [false, true] {
            let (space, control, member) = member_with_alarm(&pool);
            let weak = space.downgrade();
            assert_eq!(in_queue(), (1, 1));
            // Another one does not add up.
            member.set_alarm(Instant::now() + Duration::from_secs(1800));
            assert_eq!(in_queue(), (1, 1));
            if is_stopped {
                control.stop(&space).unwrap();
            } else {
                drop(space);
                assert!(weak.upgrade().is_none());
            }
            assert_eq!(in_queue(), (0, 0));
            // Nor does anything come in any more.
            member.set_alarm(Instant::now());
            member.wake();
            assert_eq!(in_queue(), (0, 0));
        }
    }

    #[test]
    fn handles_that_outlive_a_space_keep_no_threads_of_its_pool() {
        let pool = pool_without_threads();
        let shared = Arc::downgrade(&pool.0.shared);
        let (space, control, member) = member_with_alarm(&pool);
        let driverless = GcControl::new(GcSettings { pool: Some(pool), ..GcSettings::default() });
        let other = Space::builder().collector(driverless.clone()).build().unwrap();
        let driver = driverless.driver(&other).unwrap();
        let (weak, ledger) = (space.downgrade(), other.ledger());
        drop((space, member, other));
        assert!(shared.upgrade().is_none(), "the threads of the pool do not end");
        drop((control, driver, weak, ledger));
    }

    #[test]
    fn those_that_wait_are_served_in_order_and_alarms_ring_in_time() {
        let pool = pool_without_threads();
        let [a, b, c] = [(); 3].map(|()| member_with_alarm(&pool));
        let mut queue = pool.0.shared.queue.lock();
        for (_, _, member) in [&a, &b, &c] {
            assert!(Arc::ptr_eq(&queue.next().unwrap(), member));
            member.turn.begin();
            member.turn.end();
        }
        assert!(queue.next().is_none());
        drop(queue);
        let now = Instant::now();
        b.2.set_alarm(now);
        let mut queue = pool.0.shared.queue.lock();
        let next = queue.ring(now).unwrap();
        assert!(next > now);
        assert!(Arc::ptr_eq(&queue.next().unwrap(), &b.2) && queue.next().is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "there are no stand-ins")]
    fn the_stand_in_of_a_pool_serves_what_waits_while_all_threads_are_busy_and_ends_with_it() {
        let pool = pool_without_threads();
        let shared = Arc::downgrade(&pool.0.shared);
        let (space, control, member) = member_with_alarm(&pool);
        let busy = Arc::new(Busy::new());
        let running = busy.begin();
        let busy = pool.0.shared.begin_user_code(&busy, None, None);
        space.request_gc();
        space.wait_for_gc_after(0, Duration::from_secs(60)).unwrap();
        drop((busy, running));
        drop((space, control, member, pool));
        while shared.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
