//! Actions that run when an object has died: once each, whatever happens.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cspace::collector::{run_deferred, Batch, ForCollectors, LockWait, MarkPhase, Reclaimed};
use cspace::*;

use crate::allocations::live_bytes;
use crate::collect::PanicsOnVisit;
use crate::probe::{on_drop, Drops};
use crate::watchdog::{eventually, panic_of, within};

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

/// Counts calls.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    fn action(&self) -> impl FnOnce() + Send + 'static {
        let calls = self.clone();
        move || _ = calls.0.fetch_add(1, SeqCst)
    }
}

/// Notes what happens, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn action(&self, what: impl ToString) -> impl FnOnce() + Send + Sync + 'static {
        let (log, what) = (self.0.clone(), what.to_string());
        move || log.lock().unwrap().push(what)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn begin(space: &Space) -> MarkPhase {
    let mut phase = MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER).unwrap();
    phase.mark().unwrap();
    phase
}

fn condemn(phase: MarkPhase) -> Batch {
    phase.try_finish(Duration::from_secs(60)).ok().unwrap().condemn().unwrap().0
}

fn reclaim(batch: Batch) -> Reclaimed {
    batch.reclaim().ok().expect("this thread holds nothing")
}

/// Reads on another thread.
fn elsewhere<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|threads| threads.spawn(f).join().unwrap())
}

fn assert_clean(spaces: &[&CSpace]) {
    for space in spaces {
        let report = space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn an_action_runs_once_in_the_collection_that_finds_its_object_dead() {
    let (space, calls) = (manual(), Calls::default());
    let root = space.exclusive(|cx| {
        let object = cx.alloc("kept".to_string());
        let cleaner = cx.register_cleaner(object, calls.action());
        assert!(!cleaner.is_taken());
        cx.root(object)
    });
    assert_eq!(space.collect().unwrap().cleaners_run, 0);
    assert_eq!(calls.count(), 0, "the object is alive, and the handle's drop is nothing");
    drop(root);
    assert_eq!(space.collect().unwrap().cleaners_run, 1);
    assert_eq!(calls.count(), 1);
    assert_eq!(space.collect().unwrap().cleaners_run, 0);
    drop(space);
    assert_eq!(calls.count(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "an object of 3 MiB made byte by byte")]
fn any_kind_of_object_takes_any_number_of_them_in_order() {
    let (space, log) = (manual(), Log::default());
    space.exclusive(|cx| {
        let (leaf, text, slice) = (cx.alloc(1u64), cx.alloc_str("text"), cx.alloc_slice(5, |i| i));
        let large = cx.alloc_slice(3 << 20, |i| i as u8);
        for round in 0..3 {
            cx.register_cleaner(leaf, log.action(format!("leaf {round}")));
            cx.register_cleaner(text, log.action(format!("text {round}")));
            cx.register_cleaner(GcAny::new(slice), log.action(format!("slice {round}")));
            cx.register_cleaner(large, log.action(format!("large {round}")));
        }
    });
    space.collect().unwrap();
    let ran = log.take();
    for kind in ["leaf", "text", "slice", "large"] {
        let of_kind: Vec<_> = ran.iter().filter(|what| what.starts_with(kind)).collect();
        assert_eq!(of_kind, [&format!("{kind} 0"), &format!("{kind} 1"), &format!("{kind} 2")]);
    }
    assert_eq!(ran.len(), 12);
}

#[test]
fn it_runs_after_weak_references_are_cleared_and_before_fields_are_dropped() {
    let (space, log) = (manual(), Log::default());
    let weak = space.exclusive(|cx| {
        let object = cx.alloc(on_drop(log.action("drop")));
        let weak = cx.weak_root(object);
        let (in_action, space, log) = (weak.clone(), space.downgrade(), log.clone());
        cx.register_cleaner(object, move || {
            let space = space.upgrade().unwrap();
            let is_dead = space.shared(|cx| in_action.is_dead(cx));
            log.action(if is_dead { "clean" } else { "clean too early" })();
        });
        weak
    });
    space.collect().unwrap();
    assert_eq!(log.take(), ["clean", "drop"]);
    drop(weak);
}

#[test]
fn cleaning_by_hand_runs_it_at_once_and_never_again() {
    let (space, calls) = (manual(), Calls::default());
    let captured = Drops::new();
    let cleaner = space.exclusive(|cx| {
        let (probe, action) = (captured.probe(), calls.action());
        let cleaner = cx.register_cleaner(cx.alloc(1u64), move || {
            action();
            drop(probe);
        });
        assert!(cleaner.clean(), "also within an access");
        assert_eq!((calls.count(), captured.count()), (1, 1));
        cleaner
    });
    assert!(!cleaner.clean() && !cleaner.unregister() && cleaner.is_taken());
    assert_eq!(space.collect().unwrap().cleaners_run, 0);
    drop((space, cleaner));
    assert_eq!(calls.count(), 1);
}

#[test]
fn what_is_unregistered_is_dropped_by_the_caller_and_never_runs() {
    let (space, calls, captured) = (manual(), Calls::default(), Drops::new());
    let cleaner = space.exclusive(|cx| {
        let (probe, action) = (captured.probe(), calls.action());
        cx.register_cleaner(cx.alloc(1u64), move || drop((action, probe)))
    });
    let copy = cleaner.clone();
    assert!(cleaner.unregister());
    assert_eq!(captured.count(), 1);
    assert!(!copy.unregister() && !copy.clean());
    space.collect().unwrap();
    drop(space);
    assert_eq!((calls.count(), captured.count()), (0, 1));
}

#[test]
fn the_end_of_a_space_runs_all_that_are_left() {
    let (space, calls) = (manual(), Calls::default());
    let (root, cleaner) = space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        (0..100).for_each(|_| _ = cx.register_cleaner(cx.alloc(2u64), calls.action()));
        (cx.root(object), cx.register_cleaner(object, calls.action()))
    });
    drop(space);
    assert_eq!(calls.count(), 101, "also for what a root keeps, which has no space any more");
    assert!(!cleaner.clean());
    drop(root);
}

#[test]
#[cfg_attr(miri, ignore = "100,000 cleaners")]
fn without_collections_what_is_cleaned_by_hand_takes_no_memory() {
    let space = CSpace::builder().gc(GcMode::Off).build().unwrap();
    let calls = Calls::default();
    let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
    let before = live_bytes();
    for _ in 0..100 {
        space.shared(|cx| {
            for _ in 0..1000 {
                assert!(cx.register_cleaner(root.get(cx), calls.action()).clean());
            }
        });
    }
    assert_eq!(calls.count(), 100_000);
    let grown = live_bytes() - before;
    assert!(grown < 32 << 10, "{grown} bytes for what is gone");
}

#[test]
fn a_panic_stops_no_other_action_and_is_counted_and_told() {
    let (told, calls) = (Arc::new(Mutex::new(Vec::new())), Calls::default());
    let listener = told.clone();
    let space = CSpace::builder()
        .gc(GcMode::Manual)
        .on_event(move |event| {
            if let Event::CleanerPanicked { message } = event {
                listener.lock().unwrap().push(message.clone());
            }
        })
        .build()
        .unwrap();
    space.exclusive(|cx| {
        for i in 0..10 {
            let object = cx.alloc(1u64);
            cx.register_cleaner(object, calls.action());
            cx.register_cleaner(object, move || panic!("action {i}"));
            cx.register_cleaner(object, calls.action());
        }
    });
    let report = space.collect().unwrap();
    assert_eq!((report.cleaners_run, report.cleaner_panics, report.drop_panics), (30, 10, 0));
    assert_eq!((space.stats().cleaners_run, space.stats().cleaner_panics), (30, 10));
    assert_eq!(calls.count(), 20);
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(told, (0..10).map(|i| format!("action {i}")).collect::<Vec<_>>());
    assert_clean(&[&space]);
}

#[test]
fn a_panic_of_an_action_that_is_cleaned_by_hand_is_the_callers() {
    let space = manual();
    let cleaner = space.exclusive(|cx| cx.register_cleaner(cx.alloc(1u64), || panic!("by hand")));
    assert_eq!(panic_of(|| cleaner.clean()), "by hand");
    assert!(!cleaner.clean());
    assert_eq!(space.collect().unwrap().cleaner_panics, 0);
}

#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn an_action_enters_its_space_allocates_and_registers_another() {
    within(|| {
        let (space, calls) = (manual(), Calls::default());
        let (weak, action) = (space.downgrade(), calls.action());
        space.exclusive(|cx| {
            cx.register_cleaner(cx.alloc(1u64), move || {
                let space = weak.upgrade().unwrap();
                space.exclusive(|cx| {
                    (0..10_000u64).for_each(|i| _ = cx.alloc(i));
                    cx.register_cleaner(cx.alloc(2u64), action);
                });
            })
        });
        assert_eq!(space.collect().unwrap().cleaners_run, 1);
        assert_eq!(calls.count(), 0, "its object was made after the finish");
        assert_eq!(space.collect().unwrap().cleaners_run, 1);
        assert_eq!((calls.count(), space.num_objects()), (1, 0));
    });
}

#[test]
fn an_action_registers_one_for_an_object_of_another_space() {
    within(|| {
        let (space, other, calls) = (manual(), manual(), Calls::default());
        let (target, action) = (other.clone(), calls.action());
        space.exclusive(|cx| {
            cx.register_cleaner(cx.alloc(1u64), move || {
                target.exclusive(|cx| _ = cx.register_cleaner(cx.alloc(2u64), action));
            })
        });
        space.collect().unwrap();
        space.collect().unwrap();
        assert_eq!(calls.count(), 0);
        assert_eq!(other.collect().unwrap().cleaners_run, 1);
        assert_eq!(calls.count(), 1);
    });
}

#[test]
fn an_action_that_collects_gets_an_error_and_a_collection_later() {
    within(|| {
        let space = CSpace::builder().gc(GcMode::Safepoints).name("swept").build().unwrap();
        let (result, weak) = (Arc::new(Mutex::new(None)), space.downgrade());
        let in_action = result.clone();
        space.exclusive(|cx| {
            cx.register_cleaner(cx.alloc(1u64), move || {
                *in_action.lock().unwrap() = Some(weak.upgrade().unwrap().collect());
            })
        });
        space.collect().unwrap();
        let result = result.lock().unwrap().take();
        assert_eq!(result, Some(Err(CollectError::InSweep { space: "swept".to_string() })));
        let before = space.total_num_completed_gcs();
        space.exclusive(|_| ());
        assert_eq!(space.total_num_completed_gcs(), before + 1, "it was noted");
    });
}

#[test]
fn an_action_drops_the_last_handle_of_its_space() {
    within(|| {
        let (calls, drops) = (Calls::default(), Drops::new());
        let space = manual();
        let watched = space.downgrade();
        let (own, action) = (Arc::new(Mutex::new(None)), calls.action());
        let root = space.exclusive(|cx| {
            let own = own.clone();
            cx.register_cleaner(cx.alloc(drops.probe()), move || {
                drop(own.lock().unwrap().take());
                action();
            });
            let kept = cx.alloc(drops.probe());
            cx.register_cleaner(kept, calls.action());
            cx.root(kept)
        });
        let mut phase = MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER);
        phase.as_mut().ok().unwrap().mark().unwrap();
        let batch = condemn(phase.ok().unwrap());
        *own.lock().unwrap() = Some(space);
        reclaim(batch);
        run_deferred();
        eventually(|| watched.upgrade().is_none() && calls.count() == 2 && drops.count() == 2);
        drop(root);
    });
}

#[test]
fn a_thread_that_holds_a_space_leaves_the_actions_until_it_holds_none() {
    let (space, other, calls) = (manual(), manual(), Calls::default());
    space.exclusive(|cx| _ = cx.register_cleaner(cx.alloc(1u64), calls.action()));
    other.exclusive(|_| {
        assert!(space.collect().unwrap().sweep_deferred);
        assert_eq!(calls.count(), 0);
    });
    eventually(|| calls.count() == 1);
}

/// A reader gets at the object through a weak reference while it is being found dead, and registers with it. The
/// entry must neither be missed nor stay, as the address is used again.
#[test]
fn what_a_reader_registers_during_a_mark_runs_if_the_object_dies_in_that_cycle() {
    let (space, calls) = (manual(), Calls::default());
    let weak = space.exclusive(|cx| cx.weak_root(cx.alloc(1u64)));
    let phase = begin(&space);
    elsewhere(|| {
        space.shared(|cx| {
            let object = weak.upgrade(cx).expect("nobody is found dead before the finish");
            cx.register_cleaner(object, calls.action());
        })
    });
    let batch = condemn(phase);
    space.shared(|cx| assert!(weak.is_dead(cx)));
    assert_eq!((calls.count(), reclaim(batch).cleaners_run), (0, 1));
    assert_eq!(calls.count(), 1);
    assert_clean(&[&space]);
}

#[test]
fn what_a_reader_roots_during_a_mark_keeps_its_actions_for_later() {
    let (space, calls) = (manual(), Calls::default());
    let weak = space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        cx.register_cleaner(object, calls.action());
        cx.weak_root(object)
    });
    let phase = begin(&space);
    let root = elsewhere(|| space.shared(|cx| cx.root(weak.upgrade(cx).unwrap())));
    assert_eq!(reclaim(condemn(phase)).cleaners_run, 0);
    assert_clean(&[&space]);
    drop(root);
    assert_eq!(space.collect().unwrap().cleaners_run, 1);
    assert_eq!(calls.count(), 1);
}

/// Objects that take the places of dead ones are not theirs.
#[test]
fn what_is_registered_between_finish_and_sweep_is_for_the_next_cycle() {
    const COUNT: usize = if cfg!(miri) { 10 } else { 100 };
    let (space, old, new) = (manual(), Calls::default(), Calls::default());
    space.exclusive(|cx| {
        (0..COUNT).for_each(|_| _ = cx.register_cleaner(cx.alloc(1u64), old.action()));
    });
    let batch = condemn(begin(&space));
    let roots: Vec<_> = space.exclusive(|cx| {
        let object = |_| {
            let object = cx.alloc(2u64);
            cx.register_cleaner(object, new.action());
            cx.root(object)
        };
        (0..COUNT).map(object).collect()
    });
    assert_eq!(reclaim(batch).cleaners_run, COUNT);
    let more: Vec<_> =
        space.exclusive(|cx| (0..10 * COUNT).map(|_| cx.root(cx.alloc(3u64))).collect());
    assert_eq!(space.collect().unwrap().cleaners_run, 0, "places that are used again");
    assert_eq!((old.count(), new.count()), (COUNT, 0));
    drop((roots, more));
    assert_eq!(space.collect().unwrap().cleaners_run, COUNT);
    assert_eq!(new.count(), COUNT);
}

#[test]
fn a_cycle_that_is_given_up_runs_nothing_and_forgets_nothing() {
    let (space, calls) = (manual(), Calls::default());
    space.exclusive(|cx| {
        (0..10).for_each(|_| _ = cx.register_cleaner(cx.alloc(1u64), calls.action()));
    });
    drop(begin(&space));
    drop(begin(&space).try_finish(Duration::from_secs(60)).ok().unwrap());
    let weak = space.exclusive(|cx| cx.weak_root(cx.alloc(PanicsOnVisit::new())));
    let phase = begin(&space);
    let late = elsewhere(|| space.shared(|cx| cx.root(weak.upgrade(cx).unwrap())));
    let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
    assert!(finish.condemn().is_err());
    assert_eq!(calls.count(), 0);
    assert_clean_but_for_visits(&space);
    space.shared(|cx| late.get(cx).calm());
    assert_eq!(space.collect().unwrap().cleaners_run, 10);
    assert_eq!(calls.count(), 10);
}

fn assert_clean_but_for_visits(space: &CSpace) {
    let report = space.verify().unwrap();
    assert!(report.problems.iter().all(|problem| problem.contains("panicked")), "{report}");
}

#[test]
fn a_batch_that_is_dropped_runs_them_nevertheless() {
    let (space, calls) = (manual(), Calls::default());
    space.exclusive(|cx| _ = cx.register_cleaner(cx.alloc(1u64), calls.action()));
    drop(condemn(begin(&space)));
    assert_eq!(calls.count(), 0);
    run_deferred();
    assert_eq!(calls.count(), 1);
}

#[test]
fn cleaners_go_along_with_their_objects() {
    let (target, source, calls) = (manual(), manual(), Calls::default());
    let root = source.exclusive(|cx| {
        cx.register_cleaner(cx.alloc(1u64), calls.action());
        let kept = cx.alloc(2u64);
        cx.register_cleaner(kept, calls.action());
        cx.root(kept)
    });
    target.transfer_from(&source).unwrap();
    assert_eq!(source.collect().unwrap().cleaners_run, 0);
    assert_clean(&[&target, &source]);
    assert_eq!(target.collect().unwrap().cleaners_run, 1);
    assert_eq!(target.collect().unwrap().cleaners_run, 0);
    drop(source);
    assert_eq!(calls.count(), 1);
    drop(root);
    assert_eq!(target.collect().unwrap().cleaners_run, 1);
    assert_eq!(calls.count(), 2);
}

/// Only the cleaner goes by the source's record here: neither roots nor owned values do.
#[test]
fn a_record_that_was_merged_is_kept_for_its_cleaners_alone() {
    let (target, source, calls) = (manual(), manual(), Calls::default());
    source.exclusive(|cx| {
        let kept = cx.alloc(2u64);
        cx.add_gc_root(kept).unwrap();
        cx.register_cleaner(kept, calls.action());
    });
    // A batch that is out puts the living back into the source's record, after the merge.
    let batch = condemn(begin(&source));
    target.transfer_from(&source).unwrap();
    reclaim(batch);
    for _ in 0..3 {
        assert_eq!(target.collect().unwrap().cleaners_run, 0);
        assert_clean(&[&target]);
    }
    drop((target, source));
    assert_eq!(calls.count(), 1);
}

#[test]
fn order_is_kept_through_merges_while_batches_are_out() {
    let (first, second, third, log) = (manual(), manual(), manual(), Log::default());
    let root = first.exclusive(|cx| {
        let object = cx.alloc(1u64);
        cx.register_cleaner(object, log.action(1));
        cx.root(object)
    });
    let register = |space: &CSpace, number: i32| {
        space.shared(|cx| _ = cx.register_cleaner(root.get(cx), log.action(number)));
    };
    let batch = condemn(begin(&first));
    register(&first, 2);
    second.transfer_from(&first).unwrap();
    register(&second, 3);
    third.transfer_from(&second).unwrap();
    register(&third, 4);
    reclaim(batch);
    register(&third, 5);
    assert_eq!(third.collect().unwrap().cleaners_run, 0);
    register(&third, 6);
    // And back to where they came from.
    first.transfer_from(&third).unwrap();
    register(&first, 7);
    drop(root);
    assert_eq!(first.collect().unwrap().cleaners_run, 7);
    assert_eq!(log.take(), ["1", "2", "3", "4", "5", "6", "7"]);
    assert_clean(&[&first, &second, &third]);
}

#[test]
fn an_action_may_merge_the_space_whose_batch_runs_it() {
    within(|| {
        let (target, source, calls) = (manual(), manual(), Calls::default());
        let root = source.exclusive(|cx| {
            let (weak, target) = (source.downgrade(), target.clone());
            let kept = cx.alloc(1u64);
            cx.register_cleaner(kept, calls.action());
            cx.register_cleaner(cx.alloc(2u64), move || {
                let source = weak.upgrade().unwrap();
                assert!(target.transfer_from(&source).unwrap().sweep_under_way);
            });
            cx.root(kept)
        });
        assert_eq!(source.collect().unwrap().cleaner_panics, 0);
        assert_eq!((target.num_objects(), calls.count()), (1, 0));
        drop(root);
        assert_eq!(target.collect().unwrap().cleaners_run, 1);
        assert_eq!(calls.count(), 1);
        assert_clean(&[&target, &source]);
    });
}

#[test]
#[cfg_attr(miri, ignore = "100,000 cleaners")]
fn a_hundred_thousand_are_kept_and_run() {
    let (space, calls) = (manual(), Calls::default());
    let mut roots: Vec<_> = space.exclusive(|cx| {
        let object = |i| {
            let object = cx.alloc(i);
            cx.register_cleaner(object, calls.action());
            cx.root(object)
        };
        (0..100_000u64).map(object).collect()
    });
    assert_eq!(space.collect().unwrap().cleaners_run, 0);
    let mut number = 0;
    roots.retain(|_| {
        number += 1;
        number % 3 != 0
    });
    assert_eq!(space.collect().unwrap().cleaners_run, 33_333);
    assert_clean(&[&space]);
    drop(roots);
    assert_eq!(space.collect().unwrap().cleaners_run, 66_667);
    assert_eq!(calls.count(), 100_000);
}

#[test]
fn beside_a_collection_that_does_the_same_each_runs_once() {
    within(|| {
        const COUNT: usize = if cfg!(miri) { 20 } else { 200 };
        for round in 0..if cfg!(miri) { 2 } else { 50 } {
            let space = manual();
            let runs: Arc<Vec<AtomicUsize>> = Arc::new((0..COUNT).map(|_| 0.into()).collect());
            let cleaners: Vec<Cleaner> = space.exclusive(|cx| {
                let register = |i: usize| {
                    let runs = runs.clone();
                    cx.register_cleaner(cx.alloc(i as u64), move || {
                        runs[i].fetch_add(1, SeqCst);
                    })
                };
                (0..COUNT).map(register).collect()
            });
            let by_hand: usize = thread::scope(|threads| {
                let count = |forwards: bool| {
                    let cleaners = &cleaners;
                    threads.spawn(move || {
                        let all = 0..COUNT;
                        let clean =
                            |i: usize| cleaners[if forwards { i } else { COUNT - 1 - i }].clean();
                        all.filter(|i| clean(*i)).count()
                    })
                };
                let (there, back) = (count(true), count(false));
                let ran = space.collect().unwrap().cleaners_run;
                ran + there.join().unwrap() + back.join().unwrap()
            });
            assert_eq!(by_hand, COUNT, "round {round}");
            assert!(runs.iter().all(|runs| runs.load(SeqCst) == 1), "round {round}");
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "thousands of cleaners")]
fn readers_register_while_others_collect() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::ZERO).poison_freed(true).build().unwrap();
        let calls = Calls::default();
        let roots: Vec<_> =
            space.exclusive(|cx| (0..100u64).map(|i| cx.root(cx.alloc(i))).collect());
        const EACH: usize = 5000;
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for i in 0..EACH {
                        space.shared(|cx| {
                            cx.register_cleaner(roots[i % 100].get(cx), calls.action());
                        });
                    }
                });
            }
        });
        assert_eq!(calls.count(), 0);
        drop(roots);
        space.collect().unwrap();
        eventually(|| calls.count() == 3 * EACH);
    });
}

/// A root in an action keeps the object that the action waits for: until the end of the space, as documented.
#[test]
fn an_action_with_a_root_of_its_object_runs_at_the_end_of_the_space() {
    let (space, calls) = (manual(), Calls::default());
    space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        let (root, action) = (cx.root(object), calls.action());
        cx.register_cleaner(object, move || {
            drop(root);
            action();
        });
    });
    assert_eq!(space.collect().unwrap().cleaners_run, 0);
    drop(space);
    assert_eq!(calls.count(), 1);
}

#[test]
fn a_capture_whose_drop_panics_stops_nobody() {
    let (space, calls) = (manual(), Calls::default());
    space.exclusive(|cx| {
        let capture = on_drop(|| panic!("captured"));
        cx.register_cleaner(cx.alloc(1u64), move || drop(capture));
        cx.register_cleaner(cx.alloc(1u64), calls.action());
    });
    let report = space.collect().unwrap();
    assert_eq!((report.cleaners_run, report.cleaner_panics, calls.count()), (2, 1, 1));
    let cleaner = space.exclusive(|cx| {
        let capture = on_drop(|| panic!("captured"));
        cx.register_cleaner(cx.alloc(1u64), move || drop(capture))
    });
    assert!(catch_unwind(AssertUnwindSafe(|| cleaner.unregister())).is_err());
    assert_eq!(space.collect().unwrap().cleaners_run, 0);
}
