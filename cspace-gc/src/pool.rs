//! [`GcPool`]: a few threads that run the collections of any number of spaces.
//!
//! A space in a pool costs a record and no thread. When it is woken (by its budget, a request, its period) it
//! enters a queue, and the next thread that is free serves it once. No space may hold a thread up: the lock
//! is waited for only for a moment, then the cycle is left to whoever holds it, at its next safepoint; readers
//! who stay are waited for somewhat longer, then the cycle is given up and tried again.

use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use cspace_core::collector::{Driving, ForCollectors, LockWait, WeakCollectorHandle};
use cspace_core::Space;
use parking_lot::{Condvar, Mutex};

use crate::control::GcControl;
use crate::error::PoolError;
use crate::period::{Due, Timer};
use crate::protocol::{Tenure, Turn};
use crate::worker::STACK_BYTES;

/// How long a thread waits for one space's lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(5);
/// How long a thread waits for the readers of one space to leave.
const READER_PATIENCE: Duration = Duration::from_millis(150);

/// Threads that run the collections of any number of spaces.
///
/// Given to a space when it is built. For processes with many spaces: one for each request, tenant or actor.
/// The threads also run the drops of dead objects, so a drop that blocks holds one of them up.
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
        let left = core::mem::take(&mut queue.ready);
        drop(queue);
        drop(left);
        self.shared.changed.notify_all();
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Those to be served, by a number each, so that the one that waits longest is the first.
    ready: BTreeMap<u64, Arc<Member>>,
    /// Those to be looked at later, by when, and a number that tells those of one moment apart.
    alarms: BTreeMap<(Instant, u64), Weak<Member>>,
    /// Numbers that were given.
    number: u64,
    stopped: bool,
}

/// Where a member is in the queue.
#[derive(Default)]
struct Place {
    ready: Option<u64>,
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
    /// Of the thread that serves it.
    work: Mutex<Work>,
}

struct Work {
    timer: Timer,
    failures: u32,
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
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
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
            work: Mutex::new(Work { timer: Timer::new(Instant::now()), failures: 0 }),
        })
    }
}

impl fmt::Debug for GcPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcPool").field("threads", &self.thread_count()).finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self) {
        let mut queue = self.queue.lock();
        while !queue.stopped {
            let now = Instant::now();
            let next = queue.ring(now);
            if let Some(member) = queue.next() {
                drop(queue);
                member.serve();
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

impl Queue {
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
        let alarm = place.alarm.take().and_then(|alarm| queue.alarms.remove(&alarm));
        drop((place, queue));
        drop((ready, alarm));
    }

    fn enqueue(self: &Arc<Self>) {
        let mut queue = self.shared.queue.lock();
        if queue.stopped {
            return;
        }
        queue.push(Arc::clone(self));
        drop(queue);
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
    fn serve(self: &Arc<Self>) {
        self.turn.begin();
        let due = self.work();
        if let Due::At(at) = due {
            self.set_alarm(at);
        }
        if due == Due::Now {
            // Behind those that are in the queue.
            self.turn.wake();
        }
        if self.turn.end() {
            self.enqueue();
        }
    }

    /// Collects if that is due; returns when to look again.
    fn work(self: &Arc<Self>) -> Due {
        let (Some(control), Some(space)) = (self.control.upgrade(), self.space.upgrade()) else {
            return Due::WhenWoken;
        };
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
        let _at_work = AtWork(&control, self.tenure);
        let mut work = self.work.lock();
        let Work { timer, failures } = &mut *work;
        let due = control.due(&space, timer);
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
        match control.drive(&space, timer, failures, wait, &stay) {
            Ok(_) => control.due(&space, timer),
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
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
        GcPool(Arc::new(Handle { shared, thread_count: 1 }))
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
}
