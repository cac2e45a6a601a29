//! One shared access, many threads.

use std::sync::Barrier;
use std::thread;

use cspace::*;

use crate::watchdog::{panic_of, within};

#[test]
fn results_come_in_the_order_of_the_tasks() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc((0..100u64).collect::<Vec<_>>())));
    let sums = space.shared(|cx| {
        let numbers = root.get(cx).as_ref();
        cx.fan_out(numbers.chunks(10).map(|part| move |_: &Shared<'_>| part.iter().sum::<u64>()))
    });
    assert_eq!(sums, (0..10).map(|i| 45 + 100 * i).collect::<Vec<u64>>());
}

#[test]
fn an_exclusive_access_is_fanned_out_and_goes_on() {
    let space = CSpace::new();
    let count = space.exclusive(|cx| {
        let objects: Vec<_> = (0..8u64).map(|i| cx.alloc(Slot::new(i))).collect();
        let objects = &objects;
        let roots = cx.as_shared().fan_out((0..8).map(|i| {
            task(objects, move |objects, cx| {
                assert_eq!(objects[i].get(cx), i as u64);
                cx.root(objects[i])
            })
        }));
        for (i, root) in roots.iter().enumerate() {
            assert!(Gc::ptr_eq(root.get(cx), objects[i]));
            objects[i].set(cx, 0);
        }
        cx.num_objects()
    });
    assert_eq!(count, 8);
}

/// A task whose token has the brand of what it looks at.
fn task<'a, 'gc, R>(
    objects: &'a [Gc<'gc, Slot<'gc, u64>>],
    f: impl FnOnce(&'a [Gc<'gc, Slot<'gc, u64>>], &Shared<'gc>) -> R + Send + 'a,
) -> impl FnOnce(&Shared<'gc>) -> R + Send + 'a {
    move |cx| f(objects, cx)
}

/// The thread of a task did not know that the space is held: taking its lock there waited for ever.
#[test]
fn locking_the_space_in_a_task_is_an_error_not_a_deadlock() {
    within(|| {
        let space = CSpace::new();
        let check = |_: &Shared<'_>| {
            assert!(matches!(space.try_shared(|_| ()), Err(LockError::Reentry { .. })));
            assert!(panic_of(|| space.exclusive(|_| ())).contains("held by this thread already"));
            assert!(matches!(space.collect(), Err(CollectError::InsideAccess { .. })));
            space.num_objects()
        };
        space.shared(|cx| cx.fan_out([&check, &check]));
        space.exclusive(|cx| cx.as_shared().fan_out([&check, &check]));
    });
}

#[test]
fn tasks_run_beside_each_other() {
    within(|| {
        let barrier = Barrier::new(3);
        CSpace::new()
            .shared(|cx| cx.fan_out((0..3).map(|_| |_: &Shared<'_>| barrier.wait().is_leader())));
    });
}

#[test]
fn a_panic_of_a_task_comes_out_after_all_have_ended() {
    within(|| {
        let space = CSpace::new();
        let ended = std::sync::atomic::AtomicUsize::new(0);
        let message = panic_of(|| {
            space.shared(|cx| {
                cx.fan_out((0..4).map(|i| {
                    let ended = &ended;
                    move |_: &Shared<'_>| {
                        assert!(i != 1, "task {i}");
                        ended.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                }))
            })
        });
        assert_eq!((message.as_str(), ended.into_inner()), ("task 1", 3));
        assert!(!space.is_poisoned());
        space.exclusive(|_| ());
    });
}

#[test]
fn a_task_locks_other_spaces() {
    within(|| {
        let (a, b) = (CSpace::new(), CSpace::new());
        a.shared(|cx| {
            cx.fan_out((0..3).map(|_| |_: &Shared<'_>| b.exclusive(|cx| cx.alloc(1u64).addr())));
        });
        assert_eq!(b.num_objects(), 3);
    });
}

#[test]
fn no_task_at_all_is_fine() {
    let none: [fn(&Shared<'_>); 0] = [];
    assert!(CSpace::new().shared(|cx| cx.fan_out(none)).is_empty());
}

#[test]
fn the_thread_of_a_task_holds_nothing_afterwards() {
    // Scoped threads are new each time; the list is theirs.
    let space = CSpace::new();
    space.shared(|cx| cx.fan_out([|_: &Shared<'_>| ()]));
    thread::scope(|threads| threads.spawn(|| space.exclusive(|_| ())).join().unwrap());
}
