//! Who calls `on_evict`, and when: for victims whose delivery missed its moment too.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::watchdog::{eventually, panic_of, within};

/// The threads on which victims were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<ThreadId>>>);

impl Told {
    fn listen(&self, evictor: &Evictor) {
        let told = self.clone();
        evictor.on_evict(move |_, _| told.0.lock().unwrap().push(thread::current().id()));
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether this thread was told none.
    fn is_spared(&self) -> bool {
        !self.0.lock().unwrap().contains(&thread::current().id())
    }
}

/// A cycle by hand, which delivers nothing.
fn cycle(space: &Space) -> CollectReport {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    phase.mark().unwrap();
    let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
    let (batch, report) = finish.condemn().unwrap();
    batch.reclaim().ok().expect("this thread holds nothing");
    report
}

/// Lets go of some pages, which wait to be told.
fn leave_victims(space: &Space, evictor: &Evictor, count: u64) -> Vec<EvictableRoot<u64>> {
    let pages =
        space.exclusive(|cx| (0..count).map(|page| cx.evictable_root(cx.alloc(page))).collect());
    evictor.set_eviction_threshold(Some(0));
    assert_eq!(cycle(space).objects_evicted as u64, count);
    assert!(space.has_evicted() && space.wants_delivery());
    pages
}

/// A space that a driver of the test's runs, and that gives up a delivery soon.
fn driven() -> (CSpace, GcDriver) {
    let patience = Patience { debt: Duration::from_millis(1), ..Patience::default() };
    let space = CSpace::builder().gc(GcMode::Manual).gc_patience(patience).build().unwrap();
    let driver = space.gc_driver().unwrap();
    (space, driver)
}

#[test]
#[cfg_attr(miri, ignore = "a hundred objects that are evicted")]
fn a_driver_delivers_what_readers_kept_it_from_and_no_mutator_does() {
    within(|| {
        let ((space, mut driver), told) = (driven(), Told::default());
        told.listen(space.evictor());
        let _pages = leave_victims(&space, space.evictor(), 100);
        thread::scope(|scope| {
            let (space, told) = (&space, &told);
            let ((inside, is_inside), (leave, may_leave)) = (channel(), channel::<()>());
            scope.spawn(move || {
                space.shared(|_| {
                    inside.send(()).unwrap();
                    may_leave.recv().unwrap_err();
                })
            });
            is_inside.recv().unwrap();
            let driving = scope.spawn(move || {
                assert!(driver.wait_for_garbage_collect(), "something is pending");
                assert!(matches!(driver.try_collect(), Err(CollectError::Busy { .. })));
                assert!(driver.wait_for_garbage_collect(), "it still is");
                driver
            });
            let mut driver = driving.join().unwrap();
            assert_eq!((told.count(), space.has_evicted()), (0, true));
            drop(leave);
            // A writer that comes by.
            space.exclusive(|cx| _ = cx.alloc(1u64));
            let mut lock = space.lock();
            space.request_yield();
            lock.safepoint();
            drop(lock);
            assert_eq!(told.count(), 0);
            let (cycles, objects) = (space.total_num_completed_gcs(), space.num_objects());
            let driving = scope.spawn(move || {
                // And frees them, though nothing was allocated; if it is slow, its stand-in does.
                _ = driver.collect();
                assert_eq!((told.count(), space.has_evicted()), (100, false));
                driver
            });
            let _driver = driving.join().unwrap();
            eventually(|| space.num_objects() + 101 == objects);
            assert_eq!(space.total_num_completed_gcs(), cycles + 1);
            assert!(!space.has_delivered() && !space.wants_collection());
        });
        assert!(told.is_spared());
    });
}

#[test]
fn a_driver_that_leaves_leaves_its_victims_to_safepoints() {
    within(|| {
        for stop in [false, true] {
            let ((space, driver), told) = (driven(), Told::default());
            told.listen(space.evictor());
            let _pages = leave_victims(&space, space.evictor(), 3);
            space.exclusive(|cx| _ = cx.alloc(1u64));
            assert_eq!(told.count(), 0);
            if stop {
                space.stop_gc().unwrap();
            } else {
                drop(driver);
            }
            space.exclusive(|cx| _ = cx.alloc(1u64));
            assert_eq!((told.count(), space.has_evicted()), (3, false));
        }
    });
}

#[test]
fn what_a_poisoned_space_did_not_tell_it_tells_when_the_poison_is_cleared() {
    within(|| {
        for pool in [None, Some(GcPool::new(1).unwrap())] {
            let builder = CSpace::builder();
            let builder = match &pool {
                Some(pool) => builder.gc_pool(pool),
                None => builder,
            };
            let (space, told) = (builder.build().unwrap(), Told::default());
            // While nobody drives.
            space.stop_gc().unwrap();
            told.listen(space.evictor());
            let _pages = leave_victims(&space, space.evictor(), 3);
            panic_of(|| space.exclusive(|_| panic!("poison")));
            assert!(space.has_evicted() && !space.wants_delivery());
            space.start_gc().unwrap();
            space.clear_poison();
            eventually(|| told.count() == 3);
            assert!(told.is_spared());
            // And what they took is free, though nothing is allocated.
            eventually(|| space.num_objects() == 3);
        }
    });
}

#[test]
fn without_a_driver_the_next_access_after_the_poison_is_cleared_tells() {
    let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let told = Told::default();
    told.listen(space.evictor());
    let _pages = leave_victims(&space, space.evictor(), 3);
    panic_of(|| space.exclusive(|_| panic!("poison")));
    space.clear_poison();
    space.exclusive(|cx| _ = cx.alloc(1u64));
    assert_eq!((told.count(), space.has_evicted()), (3, false));
}

fn source() -> (Space, Arc<Evictor>) {
    let evictor = Evictor::new();
    (Space::builder().eviction_policy(evictor.clone()).build().unwrap(), evictor)
}

#[test]
fn victims_that_come_with_a_merge_wake_a_worker_that_sleeps() {
    within(|| {
        let (target, (source, evictor), told) = (CSpace::new(), source(), Told::default());
        told.listen(&evictor);
        let _pages = leave_victims(&source, &evictor, 3);
        target.transfer_from(&source).unwrap();
        // Readers only, from here on.
        eventually(|| target.shared(|_| told.count()) == 3);
        assert!(told.is_spared());
        eventually(|| target.num_objects() == 3);
    });
}

#[test]
fn a_space_without_a_collector_tells_at_the_end_of_an_access_and_asks_for_no_more() {
    for mode in [GcMode::Off, GcMode::Manual, GcMode::Safepoints] {
        let target = CSpace::builder().gc(mode).build().unwrap();
        let ((source, evictor), told) = (source(), Told::default());
        told.listen(&evictor);
        let _pages = leave_victims(&source, &evictor, 3);
        target.transfer_from(&source).unwrap();
        assert_eq!(told.count(), 0, "a merge runs nothing of the user's");
        target.exclusive(|cx| assert!(cx.should_yield()));
        assert_eq!((told.count(), target.has_evicted()), (3, false));
        // There may be a collection that frees them.
        target.exclusive(|cx| _ = cx.alloc(1u64));
        target.exclusive(|cx| assert!(!cx.should_yield(), "{mode:?}"));
        let left = if mode == GcMode::Off { 7 } else { 3 };
        assert!(target.num_objects() <= left + 1);
    }
}

/// The callback's captures are the user's: what their drop does, it does with nothing locked.
#[test]
#[cfg_attr(miri, ignore = "hundreds of objects that are evicted")]
fn the_policy_of_a_space_that_is_gone_is_dropped_with_nothing_locked() {
    struct Enters(CSpace, Arc<AtomicUsize>);
    impl Drop for Enters {
        fn drop(&mut self) {
            self.1.fetch_add(1 + self.0.exclusive(|cx| *cx.alloc(9usize)), SeqCst);
        }
    }
    within(|| {
        for deliver in [false, true] {
            let target = CSpace::builder().gc(GcMode::Manual).build().unwrap();
            let ((source, evictor), dropped) = (source(), Arc::new(AtomicUsize::new(0)));
            let enters = Enters(target.clone(), Arc::clone(&dropped));
            evictor.on_evict(move |_, _| _ = &enters);
            let pages = leave_victims(&source, &evictor, 100);
            target.transfer_from(&source).unwrap();
            drop((source, evictor, pages));
            if deliver {
                target.exclusive(|_| ());
            } else {
                // The references are garbage, and what is to be told is not.
                target.collect().unwrap();
            }
            assert_eq!((dropped.load(SeqCst), target.has_evicted()), (10, false));
            assert!(!target.is_poisoned());
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "dozens of collections")]
fn a_callback_that_makes_all_evictable_again_does_not_collect_for_ever() {
    let space = CSpace::builder().gc(GcMode::Manual).eviction_threshold(0).build().unwrap();
    let held: Arc<Mutex<Vec<EvictableRoot<u64>>>> = Arc::default();
    let again = Arc::clone(&held);
    space.on_evict(move |cx, object| {
        let again = &mut *again.lock().unwrap();
        *again = vec![cx.evictable_root(object.downcast::<u64>().unwrap())];
    });
    *held.lock().unwrap() = vec![space.exclusive(|cx| cx.evictable_root(cx.alloc(5u64)))];
    let report = space.collect().unwrap();
    assert_eq!((report.objects_evicted, report.cycle), (9, 9));
    assert!(!space.wants_collection(), "it is left to the next one");
    // Nor do those who collect when they are asked to.
    space.request_gc();
    (0..20).for_each(|_| space.exclusive(|_| ()));
    assert_eq!(space.total_num_completed_gcs(), 12, "the one that was asked for, and two more");
    space.evictor().clear_on_evict();
    space.collect().unwrap();
    assert_eq!(space.eviction_stats().objects_resident, 0);
    assert!(space.verify().unwrap().is_clean());
}

/// As without a callback: within the call, with a driver and without one.
#[test]
#[cfg_attr(miri, ignore = "caches of 6 MiB")]
fn what_evicted_objects_took_is_free_when_an_explicit_collection_returns() {
    within(|| {
        for mode in [GcMode::Worker, GcMode::Safepoints, GcMode::Manual] {
            let space = CSpace::builder().gc(mode).memory_limit(8 << 20).build().unwrap();
            let told = Told::default();
            told.listen(space.evictor());
            let _pages: Vec<_> = space.exclusive(|cx| {
                let page = |at| cx.evictable_root(cx.alloc_slice_copy(&[at as u8; 65_000]));
                (0..100).map(page).collect()
            });
            let ledger = space.ledger();
            let charge = || ledger.try_charge(Category::External, 1 << 20);
            let charges: Vec<_> = (0..7)
                .map(|_| {
                    charge().or_else(|_| {
                        space.synchronous_gc().unwrap();
                        charge()
                    })
                })
                .collect();
            assert!(charges.iter().all(Result::is_ok), "{mode:?}: {charges:?}");
            assert_eq!(told.count() as u64, space.eviction_stats().objects_evicted);
        }
    });
}
