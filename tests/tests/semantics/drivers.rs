//! Others than a space's own thread that run its collections: a pool, and threads of the embedder's.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use cspace::*;

use crate::probe::Drops;
use crate::watchdog::{eventually, within};

const LONG: Duration = Duration::from_secs(60);

fn garbage(space: &CSpace, drops: &Drops) {
    space.exclusive(|cx| cx.alloc(drops.probe()).addr());
}

fn pooled(pool: &GcPool) -> CSpace {
    CSpace::builder().gc_pool(pool).build().unwrap()
}

#[test]
fn a_driver_collects_until_it_is_told_to_stop() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let mut driver = space.gc_driver().unwrap();
        assert!(space.is_gc_running());
        assert!(matches!(space.gc_driver(), Err(StartError::Occupied { .. })));
        space.start_gc().unwrap();
        let thread = thread::spawn(move || {
            let mut reports = Vec::new();
            while driver.wait_for_garbage_collect() {
                reports.extend(driver.collect());
            }
            assert!(!driver.wait_for_garbage_collect(), "it is for good");
            assert!(driver.collect().is_none());
            reports
        });
        for n in 0..3 {
            garbage(&space, &drops);
            space.request_gc();
            space.wait_for_gc_after(n, LONG).unwrap();
        }
        space.stop_gc().unwrap();
        let reports = thread.join().unwrap();
        assert_eq!(reports.iter().map(|report| report.objects_reclaimed).sum::<usize>(), 3);
        assert!(!space.is_gc_running());
        space.start_gc().unwrap();
        space.request_gc();
        space.wait_for_gc_after(3, LONG).unwrap();
    });
}

#[test]
fn a_driver_ends_with_its_space() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::builder().gc(GcMode::Manual).gc_period(Duration::ZERO).build().unwrap();
        let mut driver = space.gc_driver().unwrap();
        let thread = thread::spawn(move || {
            while driver.wait_for_garbage_collect() {
                driver.collect();
            }
        });
        garbage(&space, &drops);
        drop(space);
        thread.join().unwrap();
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_driver_that_is_dropped_leaves_the_space_as_it_was() {
    let drops = Drops::new();
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let driver = space.gc_driver().unwrap();
    garbage(&space, &drops);
    space.request_gc();
    space.exclusive(|_| ());
    assert_eq!(drops.count(), 0, "it is the driver's to do");
    drop(driver);
    assert!(!space.is_gc_running());
    space.exclusive(|_| ());
    assert_eq!(drops.count(), 1, "safepoints do again");
    assert!(space.gc_driver().is_ok());
}

#[test]
#[cfg_attr(miri, ignore = "allocates until the budget is used up")]
fn a_mutator_far_over_budget_does_not_wait_for_a_driver_that_sleeps() {
    within(|| {
        let space = CSpace::builder().gc_budget_floor(1 << 20).gc(GcMode::Manual).build().unwrap();
        let _driver = space.gc_driver().unwrap();
        let mut lock = space.lock();
        while space.total_num_completed_gcs() < 2 {
            lock.scope(|cx| {
                for _ in 0..1000 {
                    cx.alloc([0u64; 8]);
                }
            });
            lock.safepoint();
        }
    });
}

#[test]
fn a_batch_left_for_a_driver_that_sleeps_is_not_lost() {
    within(|| {
        let drops = Drops::new();
        let (outer, space) = (CSpace::new(), CSpace::builder().gc(GcMode::Manual).build().unwrap());
        let mut driver = space.gc_driver().unwrap();
        for way in 0..3 {
            garbage(&space, &drops);
            outer.exclusive(|_| assert!(space.collect().unwrap().sweep_deferred));
            match way {
                // Somebody who waits for it does it.
                0 => drop(space.collect().unwrap()),
                // The driver has it to do.
                1 => {
                    assert!(driver.wait_for_garbage_collect());
                    driver.collect();
                }
                _ => space.stop_gc().unwrap(),
            }
            assert_eq!(drops.count(), way + 1);
        }
        drop(driver);
    });
}

#[test]
fn a_driver_inside_of_the_space_gets_an_error() {
    let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let mut driver = space.gc_driver().unwrap();
    let error = space.exclusive(|_| driver.try_collect().unwrap_err());
    assert!(matches!(error, CollectError::InsideAccess { .. }), "{error}");
    assert!(driver.try_collect().unwrap().is_some());
}

#[test]
#[cfg_attr(miri, ignore = "200 spaces")]
fn a_pool_serves_many_spaces_with_few_threads() {
    within(|| {
        let drops = Drops::new();
        let pool = GcPool::new(2).unwrap();
        let spaces: Vec<_> = (0..200).map(|_| pooled(&pool)).collect();
        for space in &spaces {
            garbage(space, &drops);
            space.request_gc();
        }
        for space in &spaces {
            space.wait_for_gc_after(0, LONG).unwrap();
        }
        // A drop that is late keeps no collection from being complete.
        eventually(|| drops.count() == 200);
        for (i, space) in spaces.iter().enumerate() {
            // Each its own period.
            space.set_gc_period(Duration::from_millis(1 + i as u64 % 7));
            space.exclusive(|cx| {
                for _ in 0..2000 {
                    cx.alloc([0u64; 8]);
                }
            });
        }
        for space in &spaces {
            space.wait_for_gc_after(1, LONG).unwrap();
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "a dozen collections of a pool")]
fn one_space_that_is_held_does_not_hold_up_the_pool() {
    within(|| {
        let drops = Drops::new();
        let pool = GcPool::new(1).unwrap();
        let (held, read, other) = (pooled(&pool), pooled(&pool), pooled(&pool));
        thread::scope(|threads| {
            let (tell, told) = channel();
            let (release, wait) = channel::<()>();
            let (inside, reading) = (&held, &read);
            threads.spawn(move || {
                let _both = (inside.lock(), reading.lock_shared());
                tell.send(()).unwrap();
                wait.recv().unwrap();
            });
            told.recv().unwrap();
            held.request_gc();
            read.request_gc();
            for n in 0..10 {
                garbage(&other, &drops);
                other.request_gc();
                other.wait_for_gc_after(n, LONG).unwrap();
            }
            assert_eq!((held.total_num_completed_gcs(), read.total_num_completed_gcs()), (0, 0));
            release.send(()).unwrap();
        });
        // When they can be had they are served, without another request.
        held.wait_for_gc_after(0, LONG).unwrap();
        read.wait_for_gc_after(0, LONG).unwrap();
    });
}

#[test]
fn a_holder_that_polls_runs_what_the_pool_could_not() {
    within(|| {
        let drops = Drops::new();
        let pool = GcPool::new(1).unwrap();
        let space = pooled(&pool);
        let mut lock = space.lock();
        lock.scope(|cx| cx.alloc(drops.probe()).addr());
        space.request_gc();
        while drops.count() == 0 {
            thread::sleep(Duration::from_millis(1));
            lock.safepoint();
        }
    });
}

#[test]
fn a_space_leaves_its_pool_and_comes_back() {
    within(|| {
        let drops = Drops::new();
        let pool = GcPool::new(1).unwrap();
        let space = CSpace::builder().gc_pool(&pool).gc_period(Duration::ZERO).build().unwrap();
        space.wait_for_gc_after(3, LONG).unwrap();
        assert!(matches!(space.shared(|_| space.stop_gc()), Err(StopError::HoldsSpace { .. })));
        space.stop_gc().unwrap();
        let n = space.total_num_completed_gcs();
        garbage(&space, &drops);
        space.collect().unwrap();
        assert_eq!((space.total_num_completed_gcs(), drops.count()), (n + 1, 1));
        space.start_gc().unwrap();
        space.wait_for_gc_after(n + 3, LONG).unwrap();
    });
}

#[test]
fn a_pool_lives_as_long_as_a_space_in_it() {
    within(|| {
        let drops = Drops::new();
        let pool = GcPool::new(1).unwrap();
        let space = pooled(&pool);
        drop(pool);
        garbage(&space, &drops);
        space.request_gc();
        space.wait_for_gc_after(0, LONG).unwrap();
        assert_eq!(drops.count(), 1);
        // The last space may go on the pool's own thread.
        let inside = space.clone();
        struct Last(Option<CSpace>);
        impl Drop for Last {
            fn drop(&mut self) {
                drop(self.0.take());
            }
        }
        space.exclusive(|cx| cx.alloc(Static(Last(Some(inside)))).addr());
        garbage(&space, &drops);
        space.request_gc();
        drop(space);
        eventually(|| drops.count() == 2);
    });
}

#[test]
fn a_pool_without_threads_is_refused() {
    assert!(matches!(GcPool::new(0), Err(PoolError::NoThreads)));
    assert_eq!(GcPool::new(3).unwrap().thread_count(), 3);
}
