//! Two threads each of which counted the objects of the space that the other one held waited for each other.
use cspace::*;
use std::sync::Barrier;
use std::thread;

use crate::within;

fn each_other(count: impl Fn(&CSpace, &CSpace) + Sync) {
    let (a, b, both) = (CSpace::new(), CSpace::new(), Barrier::new(2));
    thread::scope(|threads| {
        for (mine, other) in [(&a, &b), (&b, &a)] {
            let (both, count) = (&both, &count);
            threads.spawn(move || {
                mine.exclusive(|cx| {
                    cx.alloc(1u64);
                    both.wait();
                    count(mine, other);
                    both.wait();
                });
            });
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "4,096 objects")]
fn objects_of_another_space_are_counted_inside_of_an_access() {
    within(60, || {
        each_other(|mine, other| {
            assert_eq!(mine.num_objects(), 1);
            // The one that is there, and those for which memory is set aside.
            assert!((1..=4096).contains(&other.num_objects()));
        });
    });
}

#[test]
fn a_space_is_not_verified_by_a_thread_that_holds_another_one_if_that_is_to_wait() {
    within(60, || {
        each_other(|mine, other| {
            assert!(matches!(mine.verify(), Err(CollectError::InsideAccess { .. })));
            assert!(matches!(other.verify(), Err(CollectError::Busy { .. })));
        });
        let (a, b) = (CSpace::new(), CSpace::new());
        assert!(a.exclusive(|_| b.verify()).unwrap().is_clean(), "nobody is inside");
    });
}

/// The list of what a thread holds does not know of an access that it was lent.
#[test]
fn a_thread_that_was_lent_an_access_counts_beside_a_writer_that_waits() {
    within(60, || {
        let space = CSpace::new();
        space.exclusive(|cx| {
            cx.alloc(1u64);
            let cx = cx.as_shared();
            thread::scope(|threads| {
                threads.spawn(|| assert!(space.num_objects() >= cx.num_objects()));
            });
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "4,096 objects")]
fn a_count_beside_a_guard_that_stays_is_none_too_small() {
    within(60, || {
        let space = CSpace::new();
        let mut lock = space.lock();
        lock.scope(|cx| (0..10u64).for_each(|i| _ = cx.alloc(i)));
        thread::scope(|threads| {
            let count = threads.spawn(|| space.num_objects()).join().unwrap();
            assert!((10..=4096).contains(&count), "{count}");
        });
        drop(lock);
        assert_eq!(space.num_objects(), 10);
    });
}
