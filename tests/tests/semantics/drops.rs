//! What a `Drop` may do while the collector runs it: anything.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use cspace::*;

use crate::probe::{manual, on_drop, Drops};
use crate::watchdog::{eventually, panic_of, within};

/// Runs `f` in the drop of an object of the space, in a collection.
fn in_sweep<R: Send + 'static>(
    space: &CSpace,
    f: impl FnOnce(CSpace) -> R + Send + Sync + 'static,
) -> R {
    let result = Arc::new(Mutex::new(None));
    let (in_drop, weak) = (result.clone(), space.downgrade());
    space.exclusive(|cx| {
        cx.alloc(on_drop(move || {
            let space = weak.upgrade().expect("its space is being collected, not destroyed");
            *in_drop.lock().unwrap() = Some(f(space));
        }))
        .addr()
    });
    let report = space.collect().unwrap();
    assert_eq!(report.drop_panics, 0);
    let result = result.lock().unwrap().take();
    result.expect("the object was dropped")
}

#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn a_drop_enters_its_space_and_allocates() {
    within(|| {
        let space = manual();
        let root = in_sweep(&space, |space| {
            space.exclusive(|cx| {
                (0..10_000u64).for_each(|i| _ = cx.alloc(i));
                cx.root(cx.alloc("made in a drop".to_string()))
            })
        });
        space.collect().unwrap();
        assert_eq!(space.num_objects(), 1);
        assert_eq!(space.shared(|cx| root.get(cx).as_ref().clone()), "made in a drop");
    });
}

#[test]
fn a_drop_reads_its_space_and_takes_guards() {
    within(|| {
        let space = manual();
        let root = space.exclusive(|cx| cx.root(cx.alloc(7u64)));
        let value = in_sweep(&space, move |space| {
            let mut lock = space.lock();
            lock.safepoint();
            drop(lock);
            space.shared(|cx| *root.get(cx))
        });
        assert_eq!(value, 7);
    });
}

/// `collect` in a drop waited for the very collection that ran the drop.
#[test]
fn a_drop_that_collects_its_space_gets_an_error_and_a_collection_later() {
    within(|| {
        let space = CSpace::builder().gc(GcMode::Safepoints).name("swept").build().unwrap();
        let result = in_sweep(&space, |space| {
            space.exclusive(|cx| cx.alloc("garbage of a drop".to_string()).addr());
            space.collect()
        });
        assert_eq!(result, Err(CollectError::InSweep { space: "swept".to_string() }));
        let before = space.total_num_completed_gcs();
        let mut lock = space.lock();
        lock.safepoint();
        drop(lock);
        assert_eq!(space.total_num_completed_gcs(), before + 1, "it was noted");
        assert_eq!(space.num_objects(), 0);
    });
}

/// Two spaces whose drops collect each other hung, each sweep waiting for the other.
#[test]
#[cfg_attr(miri, ignore = "200 rounds")]
fn spaces_whose_drops_collect_each_other_go_on() {
    within(|| {
        let spaces = [manual(), manual()];
        let refused = Arc::new(AtomicUsize::new(0));
        thread::scope(|threads| {
            for i in 0..2 {
                let (own, other, refused) = (&spaces[i], &spaces[1 - i], &refused);
                threads.spawn(move || {
                    for _ in 0..200 {
                        let (handle, refused) = (other.downgrade(), refused.clone());
                        own.exclusive(|cx| {
                            cx.alloc(on_drop(move || {
                                if let Some(Err(error)) = handle.upgrade().map(|s| s.collect()) {
                                    assert!(matches!(error, CollectError::InSweep { .. }));
                                    refused.fetch_add(1, SeqCst);
                                }
                            }))
                            .addr()
                        });
                        own.collect().unwrap();
                    }
                });
            }
        });
        assert_eq!(refused.load(SeqCst), 400);
    });
}

#[test]
fn a_safepoint_in_a_drop_does_not_collect() {
    within(|| {
        let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
        let cycles = in_sweep(&space, |space| {
            let mut lock = space.lock();
            space.request_gc();
            lock.safepoint();
            drop(lock);
            space.exclusive(|cx| cx.request_gc());
            space.total_num_completed_gcs()
        });
        assert_eq!(cycles, 0);
        space.exclusive(|_| ());
        assert!(space.total_num_completed_gcs() >= 2, "it was noted");
    });
}

#[test]
fn a_drop_locks_several_spaces() {
    within(|| {
        let (a, b) = (manual(), manual());
        let other = b.clone();
        in_sweep(&a, move |a| {
            let wanted = [(&other, LockMode::Exclusive), (&a, LockMode::Exclusive)];
            let mut locks = CSpace::lock_multiple(wanted).unwrap();
            for lock in locks.iter_mut() {
                lock.exclusive().unwrap().scope(|cx| cx.alloc(1u64).addr());
            }
        });
        assert_eq!((a.num_objects(), b.num_objects()), (1, 1));
    });
}

#[test]
fn a_drop_verifies_another_space_and_its_own() {
    within(|| {
        let (a, b) = (manual(), manual());
        let (own, other) = in_sweep(&a, move |a| (a.verify(), b.verify()));
        assert!(own.unwrap().is_clean());
        assert!(other.unwrap().is_clean());
    });
}

#[test]
fn a_drop_drops_the_last_handle_of_another_space() {
    within(|| {
        let (outer, inner, drops) = (manual(), manual(), Drops::new());
        inner.exclusive(|cx| (0..10).for_each(|_| _ = cx.alloc(drops.probe())));
        in_sweep(&outer, move |_| drop(inner));
        eventually(|| drops.count() == 10);
    });
}

#[test]
fn a_drop_drops_the_last_handle_of_its_own_space() {
    within(|| {
        let (space, drops) = (manual(), Drops::new());
        let handle = Arc::new(Mutex::new(Some(space.clone())));
        let in_drop = handle.clone();
        space.exclusive(|cx| {
            cx.alloc(on_drop(move || drop(in_drop.lock().unwrap().take())));
            cx.root(cx.alloc(drops.probe()))
        });
        // The collecting thread's handle is the last but one.
        thread::spawn(move || space.collect().unwrap()).join().unwrap();
        assert!(handle.lock().unwrap().is_none());
        eventually(|| drops.count() == 1);
    });
}

#[test]
fn an_object_that_owns_its_space_keeps_it_until_it_is_collected() {
    within(|| {
        let (space, drops) = (manual(), Drops::new());
        let weak = space.downgrade();
        space.exclusive(|cx| cx.alloc((Static(space.clone()), drops.probe())).addr());
        drop(space);
        assert_eq!(drops.count(), 0);
        let space = weak.upgrade().unwrap();
        space.collect().unwrap();
        assert_eq!(drops.count(), 1);
        drop(space);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn drops_that_panic_are_counted_and_the_others_run() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        for i in 0..100 {
            cx.alloc(on_drop(move || assert!(i % 10 != 0, "drop {i}")));
            cx.alloc(drops.probe());
        }
    });
    let report = space.collect().unwrap();
    assert_eq!((report.objects_reclaimed, report.drop_panics, drops.count()), (200, 10, 100));
    assert_eq!((space.stats().drop_panics, space.is_poisoned()), (10, false));
    assert!(space.verify().unwrap().is_clean());
    assert_eq!(space.collect().unwrap().drop_panics, 0);
}

#[test]
fn drops_that_panic_do_not_stop_the_end_of_a_space() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        for _ in 0..10 {
            cx.alloc(on_drop(|| panic!("no")));
            cx.alloc(drops.probe());
        }
    });
    assert!(space.destroy().is_ok());
    assert_eq!(drops.count(), 10);
}

#[test]
fn a_space_may_end_while_a_panic_unwinds() {
    let drops = Drops::new();
    panic_of(|| {
        let space = manual();
        space.exclusive(|cx| {
            cx.alloc(on_drop(|| panic!("no")));
            cx.alloc(drops.probe());
        });
        panic!("unwinding");
    });
    assert_eq!(drops.count(), 1);
}

/// A collection by a thread that holds another space ran drops there: one that entered the space held panicked half
/// way.
#[test]
fn drops_of_a_collection_inside_another_space_run_when_the_thread_holds_none() {
    within(|| {
        let (outer, inner) = (manual(), manual());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (handle, in_drop) = (outer.clone(), log.clone());
        inner.exclusive(|cx| {
            cx.alloc(on_drop(move || {
                let count = handle.exclusive(|cx| {
                    cx.alloc(1u64);
                    cx.num_objects()
                });
                in_drop.lock().unwrap().push(count);
            }))
            .addr()
        });
        outer.exclusive(|cx| {
            cx.alloc(2u64);
            let report = inner.collect().unwrap();
            assert!(report.sweep_deferred);
            assert_eq!(report.objects_reclaimed, 1);
            assert!(log.lock().unwrap().is_empty());
            assert_eq!(inner.num_objects(), 0, "dead to everyone");
        });
        // Whoever takes the deferred work up, the next cycle waits for it.
        inner.collect().unwrap();
        assert_eq!(*log.lock().unwrap(), [2]);
        assert_eq!(inner.total_num_completed_gcs(), 2);
    });
}

#[test]
fn a_second_collection_behind_a_deferred_one_is_busy_and_noted() {
    within(|| {
        let (outer, inner) = (manual(), manual());
        outer.exclusive(|_| {
            assert!(inner.collect().unwrap().sweep_deferred);
            match inner.collect() {
                Err(CollectError::Busy { .. }) => {}
                // Some other thread took the work up in between.
                Ok(report) => assert!(report.sweep_deferred),
                Err(error) => panic!("{error}"),
            }
        });
        inner.collect().unwrap();
    });
}

#[test]
fn a_guard_of_another_space_defers_until_the_last_is_released() {
    within(|| {
        let (a, b, c) = (manual(), manual(), manual());
        let drops = Drops::new();
        c.exclusive(|cx| cx.alloc(drops.probe()).addr());
        let (in_a, mut in_b) = (a.lock(), b.lock());
        assert!(c.collect().unwrap().sweep_deferred);
        in_b.scope(|cx| cx.alloc(1u64).addr());
        drop(in_a);
        in_b.safepoint();
        drop(in_b);
        c.collect().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_space_dropped_inside_another_is_reclaimed_when_the_thread_holds_none() {
    within(|| {
        let (outer, inner, drops) = (manual(), manual(), Drops::new());
        let (handle, count) = (outer.clone(), drops.clone());
        inner.exclusive(|cx| {
            cx.alloc(on_drop(move || {
                handle.exclusive(|cx| cx.alloc(count.probe()).addr());
            }))
            .addr()
        });
        outer.exclusive(|_| drop(inner));
        eventually(|| outer.num_objects() == 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 spaces")]
fn a_deep_chain_of_spaces_in_each_others_objects_needs_no_stack() {
    within(|| {
        let drops = Drops::new();
        let mut chain = None::<CSpace>;
        for _ in 0..10_000 {
            let space = manual();
            space.exclusive(|cx| cx.alloc((drops.probe(), Static(chain.take()))).addr());
            chain = Some(space);
        }
        let small = thread::Builder::new().stack_size(256 << 10);
        small.spawn(move || drop(chain)).unwrap().join().unwrap();
        eventually(|| drops.count() == 10_000);
    });
}

#[test]
#[cfg_attr(miri, ignore = "200,000 objects")]
fn a_long_list_needs_no_stack() {
    within(|| {
        let small = thread::Builder::new().stack_size(256 << 10);
        small
            .spawn(|| {
                let (space, drops) = (manual(), Drops::new());
                let root = space.exclusive(|cx| {
                    let list = (0..200_000).fold(None, |next, _| {
                        Some(GcAny::new(cx.alloc((drops.probe(), Slot::new(next)))))
                    });
                    cx.root(cx.alloc(list.unwrap()))
                });
                space.collect().unwrap();
                assert_eq!(space.num_objects(), 200_001);
                assert!(space.verify().unwrap().is_clean());
                drop(root);
                space.collect().unwrap();
                assert_eq!(drops.count(), 200_000);
            })
            .unwrap()
            .join()
            .unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "3,000 objects")]
fn every_object_is_dropped_exactly_once_however_it_ends() {
    let drops = Drops::new();
    let space = manual();
    let roots: Vec<_> = space.exclusive(|cx| {
        (0..3000).map(|_| cx.alloc(drops.probe())).step_by(3).map(|gc| cx.root(gc)).collect()
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 2000);
    drop(roots.into_iter().take(500).collect::<Vec<_>>());
    space.exclusive(|cx| (0..100).for_each(|_| _ = cx.alloc(drops.probe())));
    drop(space);
    assert_eq!(drops.count(), 3100);
}

#[test]
fn destroy_refuses_while_there_are_other_handles() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| cx.alloc(drops.probe()).addr());
    let other = space.clone();
    let space = space.destroy().unwrap_err();
    assert_eq!(drops.count(), 0);
    drop(other);
    assert!(space.destroy().is_ok());
    assert_eq!(drops.count(), 1);
}

/// Work left by a thread inside one space was taken up by another thread that the first one waited for: the drop wanted
/// the space, the first thread wanted the other to end.
#[test]
fn deferred_drops_are_not_run_by_a_thread_that_the_holder_waits_for() {
    within(|| {
        let (outer, inner, other) = (manual(), manual(), manual());
        let handle = outer.clone();
        inner.exclusive(|cx| {
            cx.alloc(on_drop(move || {
                handle.exclusive(|cx| cx.num_objects());
            }))
            .addr()
        });
        outer.exclusive(|_| {
            assert!(inner.collect().unwrap().sweep_deferred);
            thread::scope(|threads| {
                threads.spawn(|| other.exclusive(|_| ()));
            });
        });
    });
}
