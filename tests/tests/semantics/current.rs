//! The current space of a thread: which one it is, and what the functions that act on it do.

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread;

use cspace::*;

use crate::probe::{on_drop, Drops};
use crate::watchdog::{eventually, panic_of, within};

#[track_caller]
fn assert_current(space: &CSpace) {
    assert!(CSpace::ptr_eq(&CSpace::current().expect("a space is current"), space));
}

#[track_caller]
fn assert_none() {
    assert_eq!(CSpace::current().err(), Some(NoCurrentSpace));
}

#[test]
fn a_thread_has_no_current_space_until_it_sets_one() {
    let space = CSpace::new();
    assert_none();
    let guard = space.set_current();
    assert_current(&space);
    assert!(CSpace::ptr_eq(guard.space(), &space));
    thread::scope(|threads| {
        threads.spawn(assert_none);
    });
    drop(guard);
    assert_none();
}

#[test]
fn a_guard_restores_the_space_before() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let _a = a.set_current();
    {
        let _b = b.set_current();
        assert_current(&b);
        {
            let _a = a.set_current();
            assert_current(&a);
        }
        assert_current(&b);
    }
    assert_current(&a);
}

#[test]
fn a_guard_that_a_panic_drops_restores_the_space_before() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let _a = a.set_current();
    panic_of(|| {
        let _b = b.set_current();
        panic!("out of here");
    });
    assert_current(&a);
}

#[test]
fn guards_may_be_dropped_in_any_order() {
    let spaces: Vec<CSpace> = (0..4).map(|_| CSpace::new()).collect();
    let mut guards: Vec<_> = spaces.iter().map(|space| Some(space.set_current())).collect();
    for (dropped, current) in [(1, 3), (3, 2), (0, 2)] {
        guards[dropped] = None;
        assert_current(&spaces[current]);
    }
    guards[2] = None;
    assert_none();
}

#[test]
fn a_forgotten_guard_keeps_no_space_alive_and_nothing_current() {
    let (outer, drops) = (CSpace::new(), Drops::new());
    let _outer = outer.set_current();
    for _ in 0..3 {
        let inner = CSpace::new();
        inner.exclusive(|cx| cx.alloc(drops.probe()).addr());
        core::mem::forget(inner.set_current());
        assert_current(&inner);
    }
    eventually(|| drops.count() == 3);
    assert_current(&outer);
}

#[test]
fn the_functions_act_on_the_current_space() {
    // Without a thread, which would serve the request at once.
    let manual = || CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let (a, b) = (manual(), manual());
    let begun = Arc::new(Mutex::new(0));
    let in_begin = begun.clone();
    b.on_transaction_begin(move |_| *in_begin.lock().unwrap() += 1);
    let (_a, current_b) = (a.set_current(), b.set_current());
    let root = current::exclusive(|cx| {
        cx.alloc("garbage".to_string());
        cx.root(cx.alloc("kept".to_string()))
    });
    let root = root.unwrap();
    assert_eq!((a.num_objects(), current::num_objects()), (0, Ok(2)));
    assert_eq!(current::num_roots(), Ok(1));
    assert_eq!(current::synchronous_gc().unwrap().objects_reclaimed, 1);
    assert_eq!(current::total_num_completed_gcs(), Ok(1));
    assert_eq!(current::shared(|cx| root.get(cx).len()), Ok(4));
    assert_eq!(current::transaction(|cx| cx.num_objects()), Ok(1));
    assert_eq!(*begun.lock().unwrap(), 1);
    assert!(current::memory().unwrap().live > 0);
    current::request_gc().unwrap();
    assert!(b.lock().should_yield());
    drop(current_b);
    assert_eq!(current::num_objects(), Ok(0));
}

#[test]
fn without_a_current_space_the_functions_return_an_error_that_says_what_to_do() {
    let none = || CurrentError::NoCurrentSpace(NoCurrentSpace);
    assert_eq!(current::exclusive(|_| ()), Err(none()));
    assert_eq!(current::shared(|_| ()), Err(none()));
    assert_eq!(current::transaction(|_| ()), Err(none()));
    assert_eq!(current::synchronous_gc().err(), Some(none()));
    assert_eq!(current::request_gc(), Err(NoCurrentSpace));
    assert_eq!(current::num_objects(), Err(NoCurrentSpace));
    assert_eq!(current::num_roots(), Err(NoCurrentSpace));
    assert_eq!(current::memory().err(), Some(NoCurrentSpace));
    assert_eq!(current::total_num_completed_gcs(), Err(NoCurrentSpace));
    let message = none().to_string();
    assert!(message.contains("`CSpace::set_current`"), "{message}");
}

/// ATTACKS: a token made from thread-local state, beside one that is in use, would be a second exclusive one.
#[test]
fn inside_an_access_the_functions_return_an_error_and_no_second_token() {
    let reentry =
        |error: CurrentError| matches!(error, CurrentError::Lock(LockError::Reentry { .. }));
    CSpace::scope(|space| {
        let nested = || {
            assert!(reentry(current::exclusive(|_| ()).unwrap_err()));
            assert!(reentry(current::shared(|_| ()).unwrap_err()));
            assert!(reentry(current::transaction(|_| ()).unwrap_err()));
            let error = current::synchronous_gc().unwrap_err();
            assert!(matches!(error, CurrentError::Collect(CollectError::InsideAccess { .. })));
            assert_eq!(current::num_objects(), Ok(0));
        };
        space.exclusive(|_| nested());
        space.shared(|_| nested());
        current::exclusive(|_| nested()).unwrap();
        current::shared(|_| nested()).unwrap();
        current::transaction(|_| nested()).unwrap();
        let _lock = space.lock();
        nested();
    });
}

#[test]
fn a_lock_that_cannot_be_had_is_an_error() {
    within(|| {
        let space = CSpace::new();
        let _current = space.set_current();
        panic_of(|| current::exclusive(|_| panic!("poison")));
        let error = current::shared(|_| ()).unwrap_err();
        assert!(matches!(error, CurrentError::Lock(LockError::Poisoned { .. })), "{error:?}");
        space.clear_poison();
        thread::scope(|threads| {
            threads.spawn(|| core::mem::forget(space.lock()));
        });
        for result in
            [current::exclusive(|_| ()), current::shared(|_| ()), current::transaction(|_| ())]
        {
            let error = result.unwrap_err();
            assert!(matches!(error, CurrentError::Lock(LockError::LockLeaked { .. })), "{error:?}");
        }
    });
}

#[test]
fn the_functions_wait_for_the_lock() {
    within(|| {
        let space = CSpace::new();
        let (locked, is_locked) = std::sync::mpsc::channel();
        thread::scope(|threads| {
            threads.spawn(|| {
                let lock = space.lock();
                locked.send(()).unwrap();
                // Until somebody waits.
                while !lock.should_yield() {
                    thread::yield_now();
                }
            });
            is_locked.recv().unwrap();
            let _current = space.set_current();
            assert_eq!(current::exclusive(|cx| cx.num_objects()), Ok(0));
        });
    });
}

#[test]
fn a_scope_makes_a_space_current_and_destroys_it() {
    let drops = Drops::new();
    let outer = CSpace::new();
    let _outer = outer.set_current();
    let weak = CSpace::scope(|space| {
        assert_current(space);
        current::exclusive(|cx| cx.alloc(drops.probe()).addr()).unwrap();
        CSpace::scope(|inner| {
            assert_current(inner);
            assert_eq!(current::num_objects(), Ok(0));
        });
        assert_current(space);
        assert_eq!(drops.count(), 0);
        space.downgrade()
    });
    eventually(|| drops.count() == 1);
    assert!(weak.upgrade().is_none());
    assert_current(&outer);
}

#[test]
fn a_scope_destroys_its_space_also_when_the_closure_panics() {
    let drops = Drops::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        CSpace::scope(|space| {
            space.exclusive(|cx| {
                cx.alloc(drops.probe());
                panic!("inside an access");
            });
        });
    }));
    assert!(panicked.is_err());
    eventually(|| drops.count() == 1);
    assert_none();
}

#[test]
fn a_handle_that_leaves_a_scope_keeps_its_space() {
    let drops = Drops::new();
    let space = CSpace::scope(|space| {
        current::exclusive(|cx| cx.alloc(drops.probe()).addr()).unwrap();
        space.clone()
    });
    assert_none();
    assert_eq!((space.num_objects(), drops.count()), (1, 0));
    drop(space);
    eventually(|| drops.count() == 1);
}

#[test]
fn the_drops_at_the_end_of_a_scope_see_the_space_before() {
    let outer = CSpace::new();
    let _outer = outer.set_current();
    CSpace::scope(|space| {
        space.exclusive(|cx| {
            cx.alloc(on_drop(|| _ = current::exclusive(|cx| cx.alloc(1u64).addr()).unwrap()));
        });
    });
    assert_eq!(outer.num_objects(), 1);
}

#[test]
fn the_last_handle_may_be_the_one_that_a_function_uses() {
    within(|| {
        let (other, space) = (CSpace::new(), CSpace::new());
        core::mem::forget(other.set_current());
        core::mem::forget(space.set_current());
        // The drops run in the midst of a use of the current space, and use it.
        let handle = other.clone();
        space.exclusive(|cx| {
            cx.alloc(on_drop(move || {
                let _handle = handle.set_current();
                current::exclusive(|cx| cx.alloc(1u64).addr()).unwrap();
            }));
        });
        current::exclusive(|_| drop(space)).unwrap();
        eventually(|| other.num_objects() == 1);
        assert_current(&other);
    });
}

/// A thread that ends drops its thread-locals in an order that nobody chooses.
#[test]
fn guards_may_be_dropped_by_destructors_of_thread_locals() {
    struct Holder(RefCell<Option<CurrentGuard<'static>>>);
    impl Drop for Holder {
        fn drop(&mut self) {
            // All of these may find the stack gone, and must not panic.
            let _ = CSpace::current();
            let _ = current::exclusive(|cx| cx.num_objects());
            drop(self.0.take());
            drop(SPACE.set_current());
        }
    }
    thread_local! {
        static FIRST: Holder = const { Holder(RefCell::new(None)) };
        static LAST: Holder = const { Holder(RefCell::new(None)) };
    }
    static SPACE: std::sync::LazyLock<CSpace> = std::sync::LazyLock::new(CSpace::new);
    let thread = thread::spawn(|| {
        FIRST.with(|holder| assert!(holder.0.borrow().is_none()));
        let guards = (SPACE.set_current(), SPACE.set_current());
        LAST.with(|holder| *holder.0.borrow_mut() = Some(guards.0));
        FIRST.with(|holder| *holder.0.borrow_mut() = Some(guards.1));
        assert_current(&SPACE);
    });
    thread.join().expect("no destructor panics");
}
