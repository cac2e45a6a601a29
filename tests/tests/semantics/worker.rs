//! The collector's own thread: when it collects, and how it begins and ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cspace::collector::ForCollectors;
use cspace::*;

use crate::probe::Drops;
use crate::watchdog::{eventually, within};

const LONG: Duration = Duration::from_secs(60);

fn garbage(space: &CSpace, drops: &Drops) {
    space.exclusive(|cx| cx.alloc(drops.probe()).addr());
}

/// Data that runs something when it is dropped.
struct OnDrop<F: FnMut() + Send + Sync>(F);
impl<F: FnMut() + Send + Sync> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_request_is_served_without_a_safepoint_of_anybody() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::new();
        assert!(space.is_gc_running());
        garbage(&space, &drops);
        space.request_gc();
        assert_eq!(space.wait_for_gc_after(0, LONG), Ok(1));
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_holder_that_polls_lets_the_worker_in() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::new();
        let mut lock = space.lock();
        lock.scope(|cx| cx.alloc(drops.probe()).addr());
        space.request_gc();
        while drops.count() == 0 {
            lock.safepoint();
        }
        // It is counted when all is swept.
        eventually(|| space.total_num_completed_gcs() == 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "allocates until the budget is used up")]
fn the_budget_wakes_the_worker() {
    within(|| {
        let space = CSpace::builder().gc_budget_floor(1 << 20).build().unwrap();
        let mut lock = space.lock();
        while space.total_num_completed_gcs() < 3 {
            lock.scope(|cx| {
                for _ in 0..1000 {
                    cx.alloc([0u64; 8]);
                }
            });
            lock.safepoint();
        }
        assert!(space.memory().allocated < 64 << 20);
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn a_period_collects_what_was_allocated() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::from_millis(1)).build().unwrap();
        assert_eq!(
            (space.gc_period(), space.milli_secs_per_gc()),
            (Some(Duration::from_millis(1)), 1)
        );
        for n in 0..5 {
            // Before: the collection may be over as soon as the access is.
            let cycles = space.total_num_completed_gcs();
            space.exclusive(|cx| {
                for _ in 0..10_000 {
                    cx.alloc([n; 8]);
                }
            });
            space.wait_for_gc_after(cycles, LONG).unwrap();
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn a_shorter_period_wakes_the_sleeper() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::MAX).build().unwrap();
        space.exclusive(|cx| {
            for _ in 0..10_000 {
                cx.alloc([1u64; 8]);
            }
        });
        assert_eq!(space.milli_secs_per_gc(), i32::MAX);
        space.set_gc_period(Duration::from_millis(1));
        space.wait_for_gc_after(0, LONG).unwrap();
        space.set_gc_period(None);
        assert_eq!(space.gc_period(), None);
    });
}

#[test]
fn a_negative_or_zero_period_collects_without_a_pause() {
    within(|| {
        for millis in [-1, 0, i32::MIN] {
            let space = CSpace::new();
            space.set_milli_secs_per_gc(millis);
            assert_eq!((space.milli_secs_per_gc(), space.gc_period()), (-1, Some(Duration::ZERO)));
            // Though nothing is allocated.
            space.wait_for_gc_after(20, LONG).unwrap();
        }
    });
}

#[test]
fn starting_and_stopping_twice_is_the_same_as_once() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::new();
        space.start_gc().unwrap();
        space.stop_gc().unwrap();
        space.stop_gc().unwrap();
        assert!(!space.is_gc_running());
        garbage(&space, &drops);
        space.request_gc();
        assert!(space.wait_for_gc_after(0, Duration::from_millis(1)).is_err());
        // Without a thread a request is for the next safepoint, and explicit calls go on.
        space.exclusive(|_| ());
        assert_eq!(drops.count(), 1);
        garbage(&space, &drops);
        space.collect().unwrap();
        assert_eq!(drops.count(), 2);
        space.start_gc().unwrap();
        space.start_gc().unwrap();
        let n = space.total_num_completed_gcs();
        space.request_gc();
        space.wait_for_gc_after(n, LONG).unwrap();
    });
}

#[test]
fn many_threads_may_start_and_stop() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
        thread::scope(|threads| {
            for i in 0..4 {
                let space = &space;
                threads.spawn(move || {
                    for _ in 0..if cfg!(miri) { 10 } else { 50 } {
                        if i % 2 == 0 {
                            space.start_gc().unwrap();
                        } else {
                            space.stop_gc().unwrap();
                        }
                    }
                });
            }
        });
        space.stop_gc().unwrap();
        let n = space.total_num_completed_gcs();
        assert!(!space.is_gc_running());
        space.collect().unwrap();
        assert_eq!(space.total_num_completed_gcs(), n + 1, "nobody else collects");
    });
}

#[test]
fn stopping_where_it_would_wait_for_itself_is_an_error() {
    within(|| {
        let errors = Arc::new(Mutex::new(Vec::new()));
        let (told, listening) = (errors.clone(), Arc::new(AtomicBool::new(false)));
        let handle: Arc<Mutex<Option<WeakCSpace>>> = Arc::default();
        let (of_listener, armed) = (handle.clone(), listening.clone());
        let space = CSpace::builder()
            .on_event(move |_| {
                let space = of_listener.lock().unwrap().clone().and_then(|space| space.upgrade());
                if let (Some(space), true) = (space, armed.load(SeqCst)) {
                    told.lock().unwrap().push((space.stop_gc(), space.start_gc().is_err()));
                }
            })
            .build()
            .unwrap();
        *handle.lock().unwrap() = Some(space.downgrade());
        assert!(matches!(space.exclusive(|_| space.stop_gc()), Err(StopError::HoldsSpace { .. })));
        let other = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        assert!(matches!(other.shared(|_| space.stop_gc()), Err(StopError::HoldsSpace { .. })));
        assert!(matches!(other.shared(|_| space.start_gc()), Err(StartError::HoldsSpace { .. })));

        // On the collector's own thread: in a listener, and in a drop.
        listening.store(true, SeqCst);
        space.request_gc();
        space.wait_for_gc_after(0, LONG).unwrap();
        eventually(|| !errors.lock().unwrap().is_empty());
        listening.store(false, SeqCst);
        assert!(matches!(errors.lock().unwrap()[0], (Err(StopError::FromCollector { .. }), true)));
        let (weak, result) = (space.downgrade(), Arc::new(Mutex::new(None)));
        let told = result.clone();
        space.exclusive(|cx| {
            cx.alloc(Static(OnDrop(move || {
                *told.lock().unwrap() = weak.upgrade().map(|space| space.stop_gc());
            })))
            .addr()
        });
        space.request_gc();
        eventually(|| result.lock().unwrap().is_some());
        assert!(matches!(*result.lock().unwrap(), Some(Err(StopError::FromCollector { .. }))));
        // In a drop that another thread's sweep runs.
        let (weak, result) = (space.downgrade(), Arc::new(Mutex::new(None)));
        let told = result.clone();
        other.exclusive(|cx| {
            cx.alloc(Static(OnDrop(move || {
                *told.lock().unwrap() = weak.upgrade().map(|space| space.stop_gc());
            })))
            .addr()
        });
        other.collect().unwrap();
        assert!(matches!(*result.lock().unwrap(), Some(Err(StopError::InSweep { .. }))));
        assert!(space.is_gc_running());
        space.stop_gc().unwrap();
    });
}

#[test]
fn stopping_does_not_wait_for_who_holds_the_lock() {
    within(|| {
        let space = CSpace::new();
        thread::scope(|threads| {
            let (tell, told) = channel();
            let (release, wait) = channel::<()>();
            let held = &space;
            threads.spawn(move || {
                held.exclusive(|_| {
                    tell.send(()).unwrap();
                    wait.recv().unwrap();
                });
            });
            told.recv().unwrap();
            space.request_gc();
            space.stop_gc().unwrap();
            assert!(!space.is_gc_running());
            release.send(()).unwrap();
        });
    });
}

#[test]
fn stopping_does_not_wait_for_readers_that_stay() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
        thread::scope(|threads| {
            let (tell, told) = channel();
            let (release, wait) = channel::<()>();
            let held = &space;
            threads.spawn(move || {
                held.shared(|_| {
                    tell.send(()).unwrap();
                    wait.recv().unwrap();
                });
            });
            told.recv().unwrap();
            space.stop_gc().unwrap();
            release.send(()).unwrap();
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "200 spaces")]
fn the_last_handle_may_go_anywhere_and_every_object_is_dropped_once() {
    within(|| {
        let drops = Drops::new();
        for round in 0..200 {
            let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
            for _ in 0..10 {
                garbage(&space, &drops);
            }
            let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
            match round % 3 {
                0 => drop(space),
                1 => thread::spawn(move || drop(space)).join().unwrap(),
                // A dead object has the last handle but the worker's: the worker's is the last.
                _ => {
                    let inside = space.clone();
                    space.exclusive(|cx| {
                        cx.alloc(Static(OnDrop(move || drop(inside.clone())))).addr()
                    });
                    drop(space);
                }
            }
            drop(root);
        }
        eventually(|| drops.count() == 200 * 11);
    });
}

#[test]
fn a_leaked_lock_hangs_neither_the_worker_nor_its_stop_nor_the_drop_of_the_space() {
    within(|| {
        let drops = Drops::new();
        for stop in [false, true] {
            let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
            garbage(&space, &drops);
            let leaking = space.clone();
            thread::spawn(move || std::mem::forget(leaking.lock())).join().unwrap();
            space.request_gc();
            if stop {
                space.stop_gc().unwrap();
            }
            drop(space);
        }
        eventually(|| drops.count() == 2);
        // Also while the thread that forgot the guard lives.
        let space = CSpace::new();
        garbage(&space, &drops);
        std::mem::forget(space.lock());
        space.request_gc();
        assert!(matches!(space.stop_gc(), Err(StopError::HoldsSpace { .. })));
        drop(space);
        eventually(|| drops.count() == 3);
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri gives every thread that is asked for")]
fn a_thread_that_cannot_be_had_is_an_error_and_the_space_is_usable() {
    within(|| {
        // More stack than there is address space.
        let built = CSpace::builder().name("refused").gc_stack_bytes(1 << 60).build();
        let Err(BuildError::NotStarted { space, source }) = built else { panic!("it was started") };
        assert!(matches!(source, StartError::Thread { .. }), "{source}");
        assert!(source.to_string().contains("refused") && source.to_string().contains("start_gc"));
        assert!(!space.is_gc_running());
        let drops = Drops::new();
        garbage(&space, &drops);
        assert_eq!(space.collect().unwrap().objects_reclaimed, 1);
        assert!(matches!(space.start_gc(), Err(StartError::Thread { .. })));
        assert!(space.gc_driver().is_ok(), "the seat is free");
    });
}

#[test]
fn the_batch_of_a_thread_that_holds_a_space_is_the_workers() {
    within(|| {
        let drops = Drops::new();
        let (outer, inner) = (CSpace::new(), CSpace::new());
        garbage(&inner, &drops);
        outer.exclusive(|_| {
            assert!(inner.collect().unwrap().sweep_deferred);
            // While this thread still holds the other space.
            eventually(|| drops.count() == 1);
        });
        // With nobody to hand it to it stays with its thread.
        let inner = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        garbage(&inner, &drops);
        outer.exclusive(|_| {
            assert!(inner.collect().unwrap().sweep_deferred);
            assert_eq!(drops.count(), 1);
        });
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn drops_on_the_worker_may_do_anything() {
    within(|| {
        let drops = Drops::new();
        let events = Arc::new(AtomicUsize::new(0));
        let told = events.clone();
        let space = CSpace::builder()
            .on_event(move |event| {
                if let Event::DropPanicked { message } = event {
                    assert_eq!(message, "as it should");
                    told.fetch_add(1, SeqCst);
                }
            })
            .build()
            .unwrap();
        let other = CSpace::new();
        let (weak, other_weak, inner) = (space.downgrade(), other.downgrade(), drops.clone());
        let last_of_its_space = CSpace::new();
        garbage(&last_of_its_space, &drops);
        let mut last = Some(last_of_its_space);
        space.exclusive(|cx| {
            cx.alloc(Static(OnDrop(move || {
                let (space, other) = (weak.upgrade().unwrap(), other_weak.upgrade().unwrap());
                garbage(&space, &inner);
                garbage(&other, &inner);
                assert!(matches!(space.collect(), Err(CollectError::InSweep { .. })));
                assert!(space.wait_for_gc_after(0, LONG).is_err());
                other.request_gc();
                drop(last.take());
                panic!("as it should");
            })))
            .addr()
        });
        space.request_gc();
        eventually(|| drops.count() == 3);
        eventually(|| events.load(SeqCst) == 1);
        assert_eq!(space.stats().drop_panics, 1);
        space.wait_for_gc_after(1, LONG).unwrap();
    });
}

#[test]
fn waiting_for_a_collection_inside_of_an_access_is_an_error_at_once() {
    let (space, other) = (CSpace::new(), CSpace::new());
    for holder in [&space, &other] {
        let waited = holder.shared(|_| space.wait_for_gc_after(0, LONG));
        assert!(matches!(waited, Err(WaitError::HoldsSpace { .. })));
    }
    let waited = space.wait_for_gc_after(0, Duration::from_millis(1));
    assert!(matches!(waited, Err(WaitError::Timeout { completed: 0, .. })), "{waited:?}");
    assert!(waited.unwrap_err().to_string().contains("had completed 0 collections"));
}

#[test]
fn of_many_collections_that_are_asked_for_at_once_few_are_run() {
    within(|| {
        let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let lock = space.lock();
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let space = space.clone();
                thread::spawn(move || space.collect().unwrap())
            })
            .collect();
        // One has the claim and waits for the lock, the others wait for the claim.
        eventually(|| lock.should_yield());
        thread::sleep(Duration::from_millis(20));
        drop(lock);
        for thread in threads {
            thread.join().unwrap();
        }
        let cycles = space.total_num_completed_gcs();
        assert!((1..=16).contains(&cycles), "{cycles}");
        assert_eq!(space.stats().cycles, cycles);
    });
}

#[test]
fn a_space_without_a_collector_says_so() {
    let space = CSpace::builder().gc(GcMode::Off).build().unwrap();
    assert!(matches!(space.start_gc(), Err(StartError::NoCollector { .. })));
    assert!(matches!(space.gc_driver(), Err(StartError::NoCollector { .. })));
    space.stop_gc().unwrap();
    space.set_gc_period(Duration::ZERO);
    assert!(!space.is_gc_running() && space.gc_period().is_none());
}

#[test]
fn a_space_can_be_built_and_dropped_inside_of_another() {
    within(|| {
        let outer = CSpace::new();
        outer.exclusive(|_| {
            let inner = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
            inner.wait_for_gc_after(0, LONG).unwrap_err();
            drop(inner);
        });
    });
}

#[test]
fn destroying_stops_the_worker_first_and_gives_a_shared_space_back_running() {
    const ROUNDS: usize = if cfg!(miri) { 5 } else { 50 };
    within(|| {
        let drops = Drops::new();
        for _ in 0..ROUNDS {
            let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
            garbage(&space, &drops);
            let other = space.clone();
            let space = space.destroy().unwrap_err();
            assert!(space.is_gc_running());
            drop(other);
            space.destroy().unwrap();
        }
        assert_eq!(drops.count(), ROUNDS);
    });
}

#[test]
fn many_short_accesses_keep_the_worker_out_no_more_than_it_keeps_them_out() {
    within(|| {
        let space = CSpace::new();
        let stop = AtomicBool::new(false);
        let accesses = AtomicUsize::new(0);
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    while !stop.load(SeqCst) {
                        space.exclusive(|cx| cx.alloc(1u64).addr());
                        accesses.fetch_add(1, SeqCst);
                    }
                });
            }
            for n in 0..if cfg!(miri) { 5 } else { 20 } {
                space.request_gc();
                space.wait_for_gc_after(n, LONG).unwrap();
                let before = accesses.load(SeqCst);
                eventually(|| accesses.load(SeqCst) > before + 4);
            }
            stop.store(true, SeqCst);
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "a stream of readers without end")]
fn a_writer_gets_in_beside_a_stream_of_readers_and_a_collector_that_never_rests() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    while !stop.load(SeqCst) {
                        // Long enough that one always is inside.
                        space.shared(|cx| (0..200).map(|_| cx.num_objects()).sum::<usize>());
                    }
                });
            }
            for _ in 0..50 {
                space.exclusive(|cx| cx.alloc(1u64).addr());
            }
            stop.store(true, SeqCst);
        });
    });
}

#[test]
fn readers_that_wait_for_each_other_go_on_beside_a_collector_that_never_rests() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::ZERO).build().unwrap();
        for _ in 0..50 {
            let (to_b, from_a) = channel();
            let (to_a, from_b) = channel();
            thread::scope(|threads| {
                let space = &space;
                threads.spawn(move || {
                    space.shared(|_| {
                        to_b.send(()).unwrap();
                        from_b.recv().unwrap();
                    });
                });
                threads.spawn(move || {
                    from_a.recv().unwrap();
                    space.shared(|_| to_a.send(()).unwrap());
                });
            });
        }
        let n = space.total_num_completed_gcs();
        space.wait_for_gc_after(n, LONG).unwrap();
    });
}

#[test]
fn a_finish_that_insists_says_so() {
    within(|| {
        let insisted = Arc::new(AtomicBool::new(false));
        let told = insisted.clone();
        let space = CSpace::builder()
            .gc_patience(Patience { debt: Duration::from_millis(1), ..Patience::default() })
            .on_event(move |event| {
                if let Event::Insisting { waited } = event {
                    assert!(*waited >= Duration::from_millis(1));
                    told.store(true, SeqCst);
                }
            })
            .build()
            .unwrap();
        // Again, if the worker was so late that the reader had left.
        while !insisted.load(SeqCst) {
            let (begun, n) = (space.cycles_begun(), space.total_num_completed_gcs());
            let reader = space.lock_shared();
            space.request_gc();
            // The worker marks beside this reader, and waits for it to leave.
            eventually(|| reader.space().cycles_begun() > begun);
            thread::sleep(Duration::from_millis(5));
            drop(reader);
            space.wait_for_gc_after(n, LONG).unwrap();
        }
    });
}

#[test]
fn a_thread_that_waits_for_the_lock_leaves_the_holder_its_turn() {
    within(|| {
        // With an endless turn nobody is asked to hand over for a mutator's sake, but for the collector's.
        let space = CSpace::builder().turn(LONG).build().unwrap();
        let mut lock = space.lock();
        thread::scope(|threads| {
            let waits = threads.spawn(|| space.exclusive(|_| ()));
            thread::sleep(Duration::from_millis(20));
            assert!(!lock.should_yield() && !waits.is_finished());
            space.request_gc();
            while space.total_num_completed_gcs() == 0 {
                lock.safepoint();
            }
            drop(lock);
        });
        // Without one the holder is asked at once.
        let space = CSpace::builder().turn(Duration::ZERO).build().unwrap();
        let lock = space.lock();
        thread::scope(|threads| {
            threads.spawn(|| space.exclusive(|_| ()));
            eventually(|| lock.should_yield());
            drop(lock);
        });
    });
}

/// Each minor collection put the one that was due by time off.
#[test]
#[cfg_attr(miri, ignore = "40,000 objects")]
fn what_dies_old_goes_when_the_period_is_over_however_many_minor_collections_there_are() {
    within(|| {
        let period = Duration::from_millis(100);
        let space = CSpace::builder().gc_period(period).build().unwrap();
        let drops = Drops::new();
        let (_kept, old) = space.exclusive(|cx| {
            // So many that do not change that a minor collection pays.
            let kept: Vec<_> = (0..40_000u64).map(|i| cx.alloc(i)).collect();
            (cx.own_root(kept), cx.root(cx.alloc(drops.probe())))
        });
        space.synchronous_gc().unwrap();
        drop(old);
        let mut lock = space.lock();
        while drops.count() == 0 {
            lock.scope(|cx| (0..64).for_each(|_| _ = cx.alloc_slice(16 << 10, |_| 0u8)));
            lock.safepoint();
        }
    });
}
