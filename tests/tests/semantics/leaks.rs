//! Forgotten guards: errors, never hangs, and never a lock released for somebody.

use std::mem;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use cspace::*;

use crate::probe::{manual, Drops};
use crate::watchdog::{eventually, panic_of, within};

fn leak_on_ended_thread(space: &CSpace, mode: LockMode) {
    thread::scope(|threads| {
        threads.spawn(|| mem::forget(space.lock_mode(mode))).join().unwrap();
    });
}

/// Waiting for a lock that a thread took with it was waiting for ever, for a collector too.
#[test]
fn a_lock_leaked_by_an_ended_thread_is_an_error_in_every_form() {
    within(|| {
        let space = CSpace::builder().name("lost").build().unwrap();
        leak_on_ended_thread(&space, LockMode::Exclusive);
        let leaked = LockError::LockLeaked { space: "lost".to_string() };
        assert_eq!(space.try_exclusive(|_| ()).unwrap_err(), leaked);
        assert_eq!(space.try_shared(|_| ()).unwrap_err(), leaked);
        assert_eq!(space.exclusive_for(Duration::from_secs(3600), |_| ()).unwrap_err(), leaked);
        assert!(panic_of(|| space.exclusive(|_| ())).contains("mem::forget"));
        assert!(panic_of(|| space.shared(|_| ())).contains("mem::forget"));
        assert_eq!(CSpace::lock_multiple([(&space, LockMode::Shared)]).err(), Some(leaked.clone()));
        assert_eq!(space.collect(), Err(CollectError::Lock(leaked.clone())));
        assert_eq!(space.verify(), Err(CollectError::Lock(leaked)));
        assert_eq!(space.num_objects(), 0);
        let _ = (space.memory(), space.stats(), format!("{space:?}"));
    });
}

#[test]
fn whoever_waits_learns_that_the_lock_was_leaked() {
    within(|| {
        let space = CSpace::new();
        let (held, wait_held) = channel();
        let (end, wait_end) = channel::<()>();
        thread::scope(|threads| {
            let space = &space;
            threads.spawn(move || {
                mem::forget(space.lock());
                held.send(()).unwrap();
                wait_end.recv().unwrap_err();
            });
            wait_held.recv().unwrap();
            let (waits, wait_waits) = channel();
            let waiter = threads.spawn(move || {
                waits.send(()).unwrap();
                space.exclusive_for(Duration::MAX, |_| ())
            });
            wait_waits.recv().unwrap();
            drop(end);
            assert!(matches!(waiter.join().unwrap(), Err(LockError::LockLeaked { .. })));
        });
    });
}

#[test]
fn the_thread_that_forgot_a_guard_gets_re_entry_errors() {
    within(|| {
        let space = CSpace::new();
        mem::forget(space.lock());
        assert!(matches!(space.try_lock(), Err(LockError::Reentry { .. })));
        assert!(panic_of(|| space.exclusive(|_| ())).contains("held by this thread already"));
        assert!(matches!(space.collect(), Err(CollectError::InsideAccess { .. })));
    });
}

#[test]
fn while_the_thread_that_forgot_a_guard_lives_others_wait() {
    within(|| {
        let space = CSpace::new();
        let (held, wait_held) = channel();
        let (end, wait_end) = channel::<()>();
        thread::scope(|threads| {
            let space = &space;
            threads.spawn(move || {
                mem::forget(space.lock());
                held.send(()).unwrap();
                wait_end.recv().unwrap_err();
            });
            wait_held.recv().unwrap();
            let moment = Duration::from_millis(200);
            assert!(matches!(space.try_lock(), Err(LockError::WouldBlock { .. })));
            assert!(matches!(space.try_lock_for(moment), Err(LockError::Timeout { .. })));
            drop(end);
        });
    });
}

#[test]
fn a_forgotten_shared_guard_still_lets_readers_in() {
    within(|| {
        let space = CSpace::new();
        leak_on_ended_thread(&space, LockMode::Shared);
        assert_eq!(space.shared(|cx| cx.num_objects()), 0);
        assert!(matches!(space.try_lock(), Err(LockError::LockLeaked { .. })));
    });
}

/// Dropping the last handle must not wait for a lock that nobody gives back.
#[test]
fn a_space_is_dropped_while_an_ended_thread_has_its_lock() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::new();
        let root = space.exclusive(|cx| {
            cx.alloc(drops.probe());
            cx.root(cx.alloc(drops.probe()))
        });
        leak_on_ended_thread(&space, LockMode::Exclusive);
        assert!(space.destroy().is_ok());
        assert_eq!(drops.count(), 2);
        drop(root);
    });
}

#[test]
fn a_space_is_dropped_while_a_living_thread_has_its_lock() {
    within(|| {
        let drops = Drops::new();
        let space = manual();
        space.exclusive(|cx| cx.alloc(drops.probe()).addr());
        let (held, wait_held) = channel();
        let (end, wait_end) = channel::<()>();
        let holder = {
            let space = space.clone();
            thread::spawn(move || {
                mem::forget(space.lock());
                drop(space);
                held.send(()).unwrap();
                wait_end.recv().unwrap_err();
            })
        };
        wait_held.recv().unwrap();
        drop(space);
        assert_eq!(drops.count(), 1);
        drop(end);
        holder.join().unwrap();
    });
}

#[test]
fn a_token_out_of_a_forgotten_guard_is_sound() {
    // Box::leak is a way to forget; the access goes on until the thread ends.
    within(|| {
        let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
        thread::spawn(|| {
            let lock: &'static mut ExclusiveGuard<'static> = Box::leak(Box::new(space.lock()));
            make_guard!(brand);
            let cx = lock.enter(brand);
            let object = cx.alloc("kept by the access".to_string());
            assert!(matches!(space.collect(), Err(CollectError::InsideAccess { .. })));
            let other = thread::spawn(|| space.try_exclusive(|_| ()).is_err()).join().unwrap();
            assert!(other);
            assert_eq!(object.as_str(), "kept by the access");
        })
        .join()
        .unwrap();
        assert!(matches!(space.try_lock(), Err(LockError::LockLeaked { .. })));
    });
}

/// The thread counted as holding a space that was gone: it did no deferred work, and locked no several spaces, any more.
#[test]
fn a_space_dropped_by_the_thread_that_forgot_its_guard_is_held_no_more() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::new();
        space.exclusive(|cx| cx.alloc(drops.probe()).addr());
        mem::forget(space.lock());
        drop(space);
        let other = CSpace::new();
        assert!(CSpace::lock_multiple([(&other, LockMode::Shared)]).is_ok());
        eventually(|| drops.count() == 1);
    });
}
