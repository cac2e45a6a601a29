//! Several spaces locked together.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

use cspace::*;

use crate::watchdog::{panic_of, within};

fn three() -> [CSpace; 3] {
    ["a", "b", "c"].map(|name| CSpace::builder().name(name).build().unwrap())
}

#[test]
fn each_space_is_held_in_its_mode_in_the_order_given() {
    let [a, b, c] = three();
    let mut locks = CSpace::lock_multiple([
        (&c, LockMode::Exclusive),
        (&a, LockMode::Shared),
        (&b, LockMode::Transaction),
    ])
    .unwrap();
    assert_eq!(locks.len(), 3);
    let modes: Vec<LockMode> = locks.iter_mut().map(|lock| lock.mode()).collect();
    assert_eq!(modes, [LockMode::Exclusive, LockMode::Shared, LockMode::Transaction]);
    assert!(locks.get_mut(1).unwrap().exclusive().is_none());
    assert!(locks.get_mut(0).unwrap().shared().is_none());
    let in_c = locks.get_mut(0).unwrap().exclusive().unwrap();
    assert_eq!(in_c.space().name(), "c");
    in_c.scope(|cx| cx.alloc(1u64).addr());
    assert_eq!(locks.get_mut(1).unwrap().shared().unwrap().scope(|cx| cx.num_objects()), 0);
    assert!(locks.get_mut(3).is_none());
    for space in [&a, &b, &c] {
        assert!(matches!(space.try_shared(|_| ()), Err(LockError::Reentry { .. })));
    }
    drop(locks);
    for space in [&a, &b, &c] {
        assert!(space.try_exclusive(|_| ()).is_ok());
    }
}

#[test]
fn a_space_given_twice_is_an_error_and_nothing_is_held() {
    let [a, b, _] = three();
    let other = a.clone();
    let error = CSpace::lock_multiple([
        (&a, LockMode::Shared),
        (&b, LockMode::Shared),
        (&other, LockMode::Shared),
    ])
    .err();
    assert_eq!(error, Some(LockError::Duplicate { space: "a".to_string() }));
    assert!(a.try_lock().is_ok() && b.try_lock().is_ok());
}

#[test]
fn a_thread_that_holds_a_space_is_refused() {
    let [a, b, c] = three();
    let result = c.shared(|_| {
        CSpace::lock_multiple([(&a, LockMode::Shared), (&b, LockMode::Shared)]).map(drop)
    });
    assert_eq!(result, Err(LockError::HoldsOthers));
}

#[test]
fn a_poisoned_space_among_them_leaves_none_held() {
    let [a, b, c] = three();
    panic_of(|| b.exclusive(|_| panic!("half way")));
    let error = CSpace::lock_multiple([&a, &b, &c].map(|space| (space, LockMode::Exclusive))).err();
    assert_eq!(error, Some(LockError::Poisoned { space: "b".to_string() }));
    assert!(a.try_lock().is_ok() && c.try_lock().is_ok());
}

#[test]
fn as_many_as_a_thread_can_hold_are_fine_and_one_more_is_refused_before_any_is_locked() {
    let spaces: Vec<CSpace> = (0..17).map(|_| CSpace::new()).collect();
    let of_first = counted(&spaces[0]);
    let all = |count| {
        let wanted = spaces[..count].iter().map(|space| (space, LockMode::Transaction));
        CSpace::lock_multiple(wanted).map(|mut locks| locks.iter_mut().count())
    };
    assert_eq!(all(17), Err(LockError::TooMany { max: 16 }));
    assert_eq!(of_first(), (0, 0));
    assert_eq!(all(16), Ok(16));
    assert_eq!(of_first(), (1, 1));
}

#[test]
fn none_at_all_is_fine() {
    assert_eq!(CSpace::lock_multiple([]).unwrap().len(), 0);
}

#[test]
fn one_lock_can_be_released_early() {
    let [a, b, _] = three();
    let mut locks =
        CSpace::lock_multiple([(&a, LockMode::Exclusive), (&b, LockMode::Exclusive)]).unwrap();
    assert!(locks.release(0));
    assert!(!locks.release(0) && !locks.release(7));
    assert!(locks.get_mut(0).is_none());
    assert!(matches!(b.try_lock(), Err(LockError::Reentry { .. })));
    thread::scope(|threads| threads.spawn(|| drop(a.lock())).join().unwrap());
}

#[test]
fn unlocked_gives_all_up_and_takes_again_those_that_were_held() {
    let [a, b, c] = three();
    let mut locks =
        CSpace::lock_multiple([&a, &b, &c].map(|space| (space, LockMode::Exclusive))).unwrap();
    locks.release(1);
    let (mut locks, count) = locks
        .unlocked(|| {
            a.exclusive(|cx| cx.alloc(1u64).addr());
            c.exclusive(|cx| cx.alloc(1u64).addr());
            a.num_objects() + c.num_objects()
        })
        .unwrap();
    assert_eq!(count, 2);
    let names: Vec<&str> =
        locks.iter_mut().map(|lock| lock.exclusive().unwrap().space().name()).collect();
    assert_eq!(names, ["a", "c"]);
    drop(locks);
    assert!(b.try_lock().is_ok());
}

/// How often transactions of a space have begun and ended.
fn counted(space: &CSpace) -> impl Fn() -> (usize, usize) {
    let counts = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let [begun, ended] = counts.clone();
    space.on_transaction_begin(move |_| _ = begun.fetch_add(1, SeqCst));
    space.on_transaction_end(move |_| _ = ended.fetch_add(1, SeqCst));
    move || (counts[0].load(SeqCst), counts[1].load(SeqCst))
}

/// The callbacks were called at each safepoint, as if the transaction had been another one afterwards.
#[test]
fn a_transaction_among_them_stays_one_transaction() {
    let [a, b, c] = three();
    let (of_a, of_c) = (counted(&a), counted(&c));
    let locks = CSpace::lock_multiple([
        (&c, LockMode::Transaction),
        (&a, LockMode::Transaction),
        (&b, LockMode::Shared),
    ])
    .unwrap();
    assert_eq!((of_a(), of_c()), ((1, 0), (1, 0)));
    let (locks, ()) = locks.unlocked(|| a.exclusive(|_| ())).unwrap();
    c.request_yield();
    let mut locks = locks.safepoint().unwrap();
    assert_eq!((of_a(), of_c()), ((1, 0), (1, 0)));
    assert!(!locks.get_mut(0).unwrap().exclusive().unwrap().should_yield(), "it has served");
    assert_eq!(locks.get_mut(0).unwrap().mode(), LockMode::Transaction);
    drop(locks);
    assert_eq!((of_a(), of_c()), ((1, 1), (1, 1)));
}

#[test]
fn a_transaction_ends_when_unlocked_panics() {
    let [a, b, _] = three();
    let of_a = counted(&a);
    let locks =
        CSpace::lock_multiple([(&b, LockMode::Exclusive), (&a, LockMode::Transaction)]).unwrap();
    assert_eq!(panic_of(|| drop(locks.unlocked(|| panic!("outside")))), "outside");
    assert_eq!(of_a(), (1, 1));
    assert!(!a.is_poisoned() && !b.is_poisoned(), "the panic came out of no access");
    assert!(a.try_lock().is_ok() && b.try_lock().is_ok());
}

#[test]
fn several_locks_of_a_thread_that_holds_another_space_are_not_given_up() {
    let [a, b, c] = three();
    let of_a = counted(&a);
    let locks =
        CSpace::lock_multiple([(&a, LockMode::Transaction), (&b, LockMode::Exclusive)]).unwrap();
    let other = c.lock();
    a.request_yield();
    // They could not be taken again in order.
    let locks = locks.safepoint().unwrap();
    assert_eq!((locks.len(), of_a()), (2, (1, 0)));
    let refused = locks.unlocked(|| unreachable!("it is refused before")).map(drop);
    assert_eq!(refused, Err(LockError::HoldsOthers));
    assert_eq!(of_a(), (1, 1), "and ended as others are");
    drop(other);
    assert!(a.try_lock().is_ok() && b.try_lock().is_ok());
}

#[test]
fn unlocked_that_cannot_take_all_again_holds_none() {
    let [a, b, _] = three();
    let locks =
        CSpace::lock_multiple([(&a, LockMode::Exclusive), (&b, LockMode::Exclusive)]).unwrap();
    let error = locks.unlocked(|| panic_of(|| b.exclusive(|_| panic!("half way")))).err();
    assert_eq!(error, Some(LockError::Poisoned { space: "b".to_string() }));
    assert!(a.try_lock().is_ok());
}

#[test]
#[cfg_attr(miri, ignore = "300 rounds")]
fn opposite_orders_do_not_deadlock() {
    within(|| {
        let [a, b, c] = three();
        thread::scope(|threads| {
            for order in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]] {
                threads.spawn(move || {
                    for _ in 0..300 {
                        let wanted = order.map(|space| (space, LockMode::Exclusive));
                        let mut locks = CSpace::lock_multiple(wanted).unwrap();
                        for lock in locks.iter_mut() {
                            lock.exclusive().unwrap().scope(|cx| cx.alloc(1u64).addr());
                        }
                    }
                });
            }
        });
        for space in [&a, &b, &c] {
            assert_eq!(space.num_objects(), 900);
        }
    });
}
