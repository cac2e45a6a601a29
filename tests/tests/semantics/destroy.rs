//! `destroy`: the collector's own handles are waited for, those of others are not.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cspace::*;

use crate::probe::{manual, on_drop, Drops};
use crate::watchdog::within;

/// A thread of the test's own that runs the collections of a space, until it is gone.
fn drive(space: &CSpace) -> thread::JoinHandle<()> {
    let mut driver = space.gc_driver().unwrap();
    thread::spawn(move || {
        while driver.wait_for_garbage_collect() {
            driver.collect();
        }
    })
}

#[test]
#[cfg_attr(miri, ignore = "150 spaces, 90,000 objects")]
fn the_only_handle_is_enough_however_busy_the_collector_is() {
    within(|| {
        let (pool, drops) = (GcPool::new(1).unwrap(), Drops::new());
        for i in 0..150 {
            let builder = CSpace::builder().gc_period(Duration::ZERO);
            let space = match i % 3 {
                0 => builder.build(),
                1 => builder.gc_pool(&pool).build(),
                _ => builder.gc(GcMode::Manual).build(),
            };
            let space = space.unwrap();
            let driver = (i % 3 == 2).then(|| drive(&space));
            for _ in 0..i % 7 {
                space.exclusive(|cx| (0..200).for_each(|_| _ = cx.alloc(drops.probe())));
            }
            let expected = drops.clone();
            assert!(space.destroy().is_ok(), "the collector kept it");
            if let Some(driver) = driver {
                driver.join().unwrap();
            }
            drop(expected);
        }
        assert_eq!(drops.count(), (0..150).map(|i| i % 7 * 200).sum::<usize>());
    });
}

#[test]
fn a_drop_that_the_collector_runs_is_waited_for() {
    within(|| {
        let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let driver = drive(&space);
        let ((began, begun), (go, gone)) = (channel(), channel::<()>());
        let gone = Mutex::new(gone);
        space.exclusive(|cx| {
            cx.alloc(on_drop(move || {
                began.send(()).unwrap();
                gone.lock().unwrap().recv().unwrap();
            }));
        });
        space.request_gc();
        begun.recv().unwrap();
        let destroyer = thread::spawn(move || space.destroy().is_ok());
        go.send(()).unwrap();
        assert!(destroyer.join().unwrap());
        driver.join().unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "100 rounds")]
fn a_handle_of_somebody_elses_is_told_from_the_collectors() {
    within(|| {
        let space = CSpace::builder().gc(GcMode::Manual).gc_period(Duration::ZERO).build().unwrap();
        let driver = drive(&space);
        let mut space = space;
        for _ in 0..100 {
            let other = space.clone();
            space = space.destroy().unwrap_err();
            drop(other);
        }
        // And the driver goes on.
        let n = space.total_num_completed_gcs();
        space.wait_for_gc_after(n, Duration::from_secs(50)).unwrap();
        space.destroy().unwrap();
        driver.join().unwrap();
    });
}

/// The thread that has the collector's handle would wait for itself.
#[test]
fn who_runs_the_collections_gets_the_handle_back() {
    within(|| {
        for by_driver in [true, false] {
            let given: Arc<Mutex<Option<CSpace>>> = Arc::default();
            let (tell, told) = channel();
            let take = Arc::clone(&given);
            let builder = CSpace::builder().on_event(move |event| {
                if let (Event::Collected(_), Some(space)) = (event, take.lock().unwrap().take()) {
                    tell.send(space.destroy().is_err()).unwrap();
                }
            });
            let mode = if by_driver { GcMode::Manual } else { GcMode::Worker };
            // Again and again, so that one comes when the listener has been given the handle.
            let space = builder.gc(mode).gc_period(Duration::ZERO).build().unwrap();
            let driver = by_driver.then(|| drive(&space));
            *given.lock().unwrap() = Some(space);
            assert!(told.recv().unwrap(), "it destroyed the space that it was collecting");
            if let Some(driver) = driver {
                driver.join().unwrap();
            }
        }
    });
}

#[test]
fn a_thread_that_holds_a_space_gets_the_handle_back_rather_than_wait_for_itself() {
    within(|| {
        let (outer, inner, drops) = (manual(), manual(), Drops::new());
        inner.exclusive(|cx| cx.alloc(drops.probe()).addr());
        let inner = outer.exclusive(|_| {
            // Its batch waits for this thread, until that holds nothing.
            assert!(inner.synchronous_gc().unwrap().sweep_deferred);
            inner.destroy().unwrap_err()
        });
        assert_eq!(drops.count(), 1);
        inner.destroy().unwrap();
    });
}

/// A batch that another thread has left for later is done by who destroys the space: that other thread may be waiting.
#[test]
fn a_batch_that_was_left_by_another_thread_is_taken_over() {
    within(|| {
        for (is_merged, is_last) in [(false, false), (true, false), (true, true)] {
            let (outer, inner, target) = (manual(), manual(), manual());
            let drops = Drops::new();
            inner.exclusive(|cx| cx.alloc(drops.probe()).addr());
            let inner = Arc::new(Mutex::new(Some(inner)));
            let ((left, is_left), (done, is_done)) = (channel(), channel::<()>());
            thread::scope(|threads| {
                let (outer, for_thread) = (&outer, Arc::clone(&inner));
                threads.spawn(move || {
                    outer.exclusive(|_| {
                        let inner = for_thread.lock().unwrap();
                        assert!(inner.as_ref().unwrap().synchronous_gc().unwrap().sweep_deferred);
                        drop(inner);
                        left.send(()).unwrap();
                        is_done.recv().unwrap();
                    });
                });
                is_left.recv().unwrap();
                let inner = inner.lock().unwrap().take().unwrap();
                if is_merged {
                    target.transfer_from(&inner).unwrap();
                }
                // The batch keeps both, and is done by the one that goes first.
                let (first, second) = if is_last { (target, inner) } else { (inner, target) };
                assert!(first.destroy().is_ok());
                assert!(second.destroy().is_ok());
                assert_eq!(drops.count(), 1);
                done.send(()).unwrap();
            });
        }
    });
}
