//! Guards: scopes, entering, giving the lock up and taking it again.

use std::sync::mpsc::channel;
use std::thread;

use cspace::*;

use crate::probe::Drops;
use crate::watchdog::{panic_of, within};

#[test]
fn a_guard_is_entered_again_and_again() {
    let space = CSpace::new();
    let mut lock = space.lock();
    for i in 0..10u64 {
        make_guard!(brand);
        let mut cx = lock.enter(brand);
        let cell = cx.alloc(GcCell::new(i));
        *cell.borrow_mut(&mut *cx) += 1;
        assert_eq!(*cell.borrow(&*cx), i + 1);
    }
    assert_eq!(lock.scope(|cx| cx.num_objects()), 10);
}

#[test]
fn unlocked_lets_another_writer_in() {
    let space = CSpace::new();
    let mut lock = space.lock();
    let count = lock.unlocked(|| {
        thread::scope(|threads| {
            threads.spawn(|| space.exclusive(|cx| cx.alloc(1u64).addr())).join().unwrap()
        });
        space.shared(|cx| cx.num_objects())
    });
    assert_eq!(count, 1);
    assert_eq!(lock.scope(|cx| cx.num_objects()), 1);
}

#[test]
fn unlocked_takes_the_lock_again_when_its_closure_panics() {
    let space = CSpace::new();
    let mut lock = space.lock();
    assert_eq!(panic_of(|| lock.unlocked(|| panic!("outside"))), "outside");
    lock.scope(|cx| cx.alloc(1u64).addr());
    assert!(matches!(space.try_lock(), Err(LockError::Reentry { .. })));
    drop(lock);
    assert!(!space.is_poisoned(), "the panic was caught while the lock was given up");
    assert!(space.try_lock().is_ok());
}

#[test]
fn a_shared_guard_gives_its_lock_up_as_well() {
    let space = CSpace::new();
    let mut lock = space.lock_shared();
    lock.unlocked(|| space.exclusive(|cx| cx.alloc(1u64).addr()));
    assert_eq!(lock.scope(|cx| cx.num_objects()), 1);
    assert_eq!(panic_of(|| lock.unlocked(|| panic!("outside"))), "outside");
    assert!(matches!(space.try_lock(), Err(LockError::Reentry { .. })));
}

#[test]
fn begin_unlock_and_end_unlock_are_a_pair() {
    let space = CSpace::new();
    let info = space.lock().begin_unlock();
    space.exclusive(|cx| cx.alloc(1u64).addr());
    let mut lock = info.end_unlock();
    assert_eq!(lock.mode(), LockMode::Exclusive);
    assert_eq!(lock.scope(|cx| cx.num_objects()), 1);
    drop(lock.begin_unlock());
    assert!(space.try_lock().is_ok(), "dropped without `end_unlock`, the lock stays released");
}

#[test]
fn a_shared_guard_has_the_pair_as_well() {
    let space = CSpace::new();
    let info = space.lock_shared().begin_unlock();
    space.exclusive(|cx| cx.alloc(1u64).addr());
    let mut lock = info.end_unlock();
    assert_eq!(lock.scope(|cx| cx.num_objects()), 1);
    assert!(matches!(space.try_lock(), Err(LockError::Reentry { .. })), "it is held again");
    thread::scope(|threads| {
        threads.spawn(|| assert!(space.try_lock_shared().is_ok(), "in shared mode"));
    });
    let info = lock.begin_unlock();
    let writer = space.lock();
    let (info, error) = info.try_end_unlock().err().unwrap();
    assert!(matches!(error, LockError::Reentry { .. }));
    drop(writer);
    let lock = info.try_end_unlock().ok().unwrap();
    drop(lock.begin_unlock());
    assert!(space.try_lock().is_ok(), "dropped without `end_unlock`, the lock stays released");
}

#[test]
fn begin_unlock_of_a_shared_guard_that_lost_its_lock_panics() {
    let space = CSpace::new();
    let mut outer = space.lock_shared();
    let mut inner = None;
    panic_of(|| outer.unlocked(|| inner = Some(space.lock_shared())));
    assert!(panic_of(|| drop(outer.begin_unlock())).contains("lost the lock"));
    drop(inner);
    assert!(space.try_lock().is_ok());
}

#[test]
fn end_unlock_that_fails_gives_its_information_back() {
    let space = CSpace::new();
    let info = space.lock().begin_unlock();
    let lock = space.lock();
    let (info, error) = info.try_end_unlock().err().unwrap();
    assert!(matches!(error, LockError::Reentry { .. }));
    drop(lock);
    info.try_end_unlock().ok().unwrap().scope(|cx| cx.alloc(1u64).addr());
}

#[test]
fn several_locks_given_up_are_taken_again_by_their_own_guards() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let (in_a, in_b) = (a.lock(), b.lock());
    let (info_a, info_b) = (in_a.begin_unlock(), in_b.begin_unlock());
    let mut in_a = info_a.end_unlock();
    let mut in_b = info_b.end_unlock();
    assert!(Space::ptr_eq(in_a.space(), &a) && Space::ptr_eq(in_b.space(), &b));
    in_a.scope(|cx| cx.alloc(1u64).addr());
    assert_eq!(in_b.scope(|cx| cx.num_objects()), 0);
}

#[test]
fn objects_without_root_are_gone_after_a_collecting_safepoint() {
    let drops = Drops::new();
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let mut lock = space.lock();
    let kept = lock.scope(|cx| {
        cx.alloc(drops.probe());
        cx.root(cx.alloc(drops.probe()))
    });
    lock.safepoint();
    assert_eq!(drops.count(), 0, "nobody asked for a collection");
    space.request_gc();
    lock.safepoint();
    assert_eq!(drops.count(), 1);
    drop(kept);
    assert_eq!(lock.collect().unwrap().objects_reclaimed, 1);
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_token_can_ask_for_a_collection() {
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let mut lock = space.lock();
    lock.scope(|cx| {
        cx.alloc("garbage".to_string());
        cx.request_gc();
        assert!(cx.should_yield());
    });
    lock.safepoint();
    assert_eq!(space.total_num_completed_gcs(), 1);
    assert!(!lock.should_yield());
}

#[test]
fn the_end_of_an_exclusive_access_is_a_safepoint() {
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    space.exclusive(|cx| {
        cx.alloc("garbage".to_string());
        cx.request_gc();
    });
    assert_eq!((space.total_num_completed_gcs(), space.num_objects()), (1, 0));
}

/// A guard whose lock could not be taken again once unlocked the lock of whoever held it instead: its drop
/// released what it did not hold, and two threads were in exclusive accesses at once.
#[test]
fn a_guard_that_could_not_take_its_lock_again_releases_nothing() {
    within(|| {
        let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
        let (leaked, wait_leaked) = channel();
        let (done, wait_done) = channel::<()>();
        let holder = thread::spawn(move || {
            let mut outer = space.lock();
            let mut inner = None;
            let message = panic_of(|| outer.unlocked(|| inner = Some(space.lock())));
            assert!(message.contains("cannot be taken again"), "{message}");
            let message = panic_of(|| outer.scope(|_| ()));
            assert!(message.contains("lost the lock"), "{message}");
            assert!(panic_of(|| outer.safepoint_now()).contains("lost the lock"));
            assert!(panic_of(|| outer.unlocked(|| ())).contains("lost the lock"));
            assert!(panic_of(|| drop(outer.collect())).contains("lost the lock"));
            {
                make_guard!(brand);
                let outer = &mut outer;
                assert!(
                    panic_of(move || outer.enter(brand).num_objects()).contains("lost the lock")
                );
            }
            drop(outer);
            leaked.send(()).unwrap();
            wait_done.recv().unwrap_err();
            inner.unwrap().scope(|cx| cx.num_objects())
        });
        wait_leaked.recv().unwrap();
        assert!(matches!(space.try_exclusive(|_| ()), Err(LockError::WouldBlock { .. })));
        assert!(matches!(space.try_shared(|_| ()), Err(LockError::WouldBlock { .. })));
        drop(done);
        holder.join().unwrap();
        assert!(space.try_exclusive(|_| ()).is_ok());
    });
}

/// `begin_unlock` on a guard without the lock would have released another's as well.
#[test]
fn begin_unlock_of_a_guard_that_lost_its_lock_panics() {
    let space = CSpace::new();
    let mut outer = space.lock();
    let mut inner = None;
    panic_of(|| outer.unlocked(|| inner = Some(space.lock())));
    assert!(panic_of(|| drop(outer.begin_unlock())).contains("lost the lock"));
    assert!(matches!(space.try_lock(), Err(LockError::Reentry { .. })));
    drop(inner);
    assert!(space.try_lock().is_ok());
}

/// The same for a shared guard: one release too many lets a writer in beside a reader.
#[test]
fn a_shared_guard_that_could_not_take_its_lock_again_releases_nothing() {
    within(|| {
        let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
        let mut outer = space.lock_shared();
        let mut inner = None;
        panic_of(|| outer.unlocked(|| inner = Some(space.lock_shared())));
        assert!(panic_of(|| outer.scope(|_| ())).contains("lost the lock"));
        drop(outer);
        thread::spawn(|| {
            assert!(matches!(space.try_exclusive(|_| ()), Err(LockError::WouldBlock { .. })));
        })
        .join()
        .unwrap();
        drop(inner);
        assert!(space.try_exclusive(|_| ()).is_ok());
    });
}

/// A space poisoned while the lock was given up is another way in which taking it again fails.
#[test]
fn a_guard_whose_space_was_poisoned_meanwhile_holds_nothing() {
    within(|| {
        let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
        let mut lock = space.lock();
        let message = panic_of(|| {
            lock.unlocked(|| {
                thread::spawn(|| panic_of(|| space.exclusive(|_| panic!("half way"))))
                    .join()
                    .unwrap()
            })
        });
        assert!(message.contains("poisoned"), "{message}");
        space.clear_poison();
        assert!(panic_of(|| lock.scope(|_| ())).contains("lost the lock"));
        assert!(space.try_lock().is_ok(), "nobody holds it");
        drop(lock);
        let holder = space.lock();
        let other = thread::spawn(|| space.try_lock().err()).join().unwrap();
        assert!(matches!(other, Some(LockError::WouldBlock { .. })));
        drop(holder);
    });
}

trait SafepointNow {
    /// A safepoint that does not depend on whether one is wanted.
    fn safepoint_now(&mut self);
}
impl SafepointNow for ExclusiveGuard<'_> {
    fn safepoint_now(&mut self) {
        self.space().request_yield();
        self.safepoint();
    }
}
