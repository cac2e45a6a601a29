//! A collection driven phase by phase: what is true in each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cspace::collector::{Batch, Collector, ForCollectors, LockWait, MarkPhase, Reclaimed};
use cspace::*;

use crate::collect::PanicsOnVisit;
use crate::probe::Drops;
use crate::watchdog::{eventually, within};

/// A space without a collector of its own: the test is its collector.
fn manual() -> Space {
    Space::builder().build().unwrap()
}

/// Begins a cycle.
fn begin(space: &Space) -> MarkPhase {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    MarkPhase::begin(claim, LockWait::FOREVER).unwrap()
}

fn finish(phase: MarkPhase) -> Result<(Batch, CollectReport), CollectError> {
    phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside").condemn()
}

fn reclaim(batch: Batch) -> Reclaimed {
    batch.reclaim().ok().expect("this thread holds nothing")
}

#[test]
fn readers_are_in_and_writers_out_while_marking_and_nobody_is_in_at_the_finish() {
    within(|| {
        let space = manual();
        let elsewhere = |f: &(dyn Fn() -> bool + Sync)| {
            std::thread::scope(|threads| threads.spawn(f).join().unwrap())
        };
        let mut phase = begin(&space);
        phase.mark().unwrap();
        assert!(elsewhere(&|| space.try_shared(|_| ()).is_ok()));
        assert!(elsewhere(&|| space.try_exclusive(|_| ()).is_err()));
        let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
        assert!(elsewhere(&|| space.try_shared(|_| ()).is_err()));
        let (batch, _) = finish.condemn().unwrap();
        assert!(elsewhere(&|| space.try_exclusive(|_| ()).is_ok()), "the sweep holds nothing");
        reclaim(batch);
    });
}

#[test]
fn weak_references_die_in_the_finish_and_drops_run_after_it() {
    let (space, drops) = (manual(), Drops::new());
    let weak = space.exclusive(|cx| cx.own_root(cx.downgrade(cx.alloc(drops.probe()))));
    let dead = || space.shared(|cx| weak.get(cx).is_dead(cx));
    let mut phase = begin(&space);
    phase.mark().unwrap();
    std::thread::scope(|threads| assert!(!threads.spawn(dead).join().unwrap()));
    let (batch, report) = finish(phase).unwrap();
    assert!(dead());
    assert_eq!((drops.count(), report.objects_reclaimed), (0, 1));
    assert_eq!(space.num_objects(), 1, "the weak reference itself");
    assert_eq!(reclaim(batch).objects_reclaimed, 1);
    assert_eq!(drops.count(), 1);
}

#[test]
#[cfg_attr(miri, ignore = "1,000 objects")]
fn what_is_allocated_between_finish_and_sweep_is_not_swept() {
    let (space, drops) = (manual(), Drops::new());
    let old = space.exclusive(|cx| {
        (0..100).for_each(|_| _ = cx.alloc(drops.probe()));
        cx.root(cx.alloc(drops.probe()))
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let (batch, _) = finish(phase).unwrap();
    space.exclusive(|cx| (0..1000).for_each(|_| _ = cx.alloc(drops.probe())));
    assert_eq!(space.num_objects(), 1001);
    assert_eq!(reclaim(batch).objects_reclaimed, 100);
    assert_eq!((drops.count(), space.num_objects()), (100, 1001));
    assert!(space.verify().unwrap().is_clean());
    drop(old);
}

/// Clearing a large table's dead entries in the finish stopped everybody for milliseconds. Until the table is filtered,
/// off the lock, an entry is told by its mark.
#[test]
fn between_finish_and_sweep_a_weak_set_shows_no_dead_entry() {
    let space = manual();
    let mut set = space.exclusive(|cx| cx.own_root(WeakSet::<u64>::new()));
    let roots: Vec<_> = space.exclusive(|cx| {
        let set = set.get_mut(cx);
        let objects: Vec<_> = (0..100).map(|i| cx.alloc(i)).collect();
        objects.iter().for_each(|object| set.insert(cx, **object % 7, *object));
        objects.iter().step_by(2).map(|object| cx.root(*object)).collect()
    });
    let check = || {
        space.shared(|cx| {
            for i in 0..100 {
                let found = set.get(cx).find(i % 7, |object| *object == i);
                assert_eq!(found, (i % 2 == 0).then(|| roots[i as usize / 2].get(cx)));
            }
        })
    };
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let (batch, _) = finish(phase).unwrap();
    check();
    reclaim(batch);
    check();
}

/// A reader that searches while the sweep clears the marks that it goes by saw living entries as dead ones.
#[test]
fn a_search_that_a_sweep_overtakes_finds_what_is_alive() {
    within(|| {
        let space = manual();
        let mut set = space.exclusive(|cx| cx.own_root(WeakSet::<u64>::new()));
        let roots: Vec<_> = space.exclusive(|cx| {
            let set = set.get_mut(cx);
            let objects: Vec<_> = (0..20).map(|i| cx.alloc(i)).collect();
            objects.iter().for_each(|object| set.insert(cx, 1, *object));
            objects.iter().map(|object| cx.root(*object)).collect()
        });
        let mut phase = begin(&space);
        phase.mark().unwrap();
        let mut batch = Some(finish(phase).unwrap().0);
        space.shared(|cx| {
            let found = set.get(cx).find(1, |object| {
                if let Some(batch) = batch.take() {
                    std::thread::scope(|threads| {
                        threads.spawn(|| _ = reclaim(batch)).join().unwrap()
                    });
                }
                *object == 19
            });
            assert_eq!(found, Some(roots[19].get(cx)));
        });
    });
}

/// A root made after the mark, when only the finish can see it.
#[test]
fn a_root_made_between_mark_and_finish_is_seen_by_the_finish() {
    let (space, drops) = (manual(), Drops::new());
    let weak = space.exclusive(|cx| {
        let inner = cx.alloc(drops.probe());
        cx.own_root(cx.downgrade(cx.alloc(inner)))
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    assert_eq!(phase.drain_late(), Ok(0));
    let root = std::thread::scope(|threads| {
        let reader = || space.shared(|cx| cx.root(weak.get(cx).upgrade(cx).unwrap()));
        threads.spawn(reader).join().unwrap()
    });
    let (batch, report) = finish(phase).unwrap();
    assert_eq!((report.objects_live, report.objects_reclaimed), (3, 0));
    reclaim(batch);
    assert_eq!(drops.count(), 0);
    space.shared(|cx| assert!(weak.get(cx).upgrade(cx) == Some(root.get(cx))));
    assert!(space.verify().unwrap().is_clean());
}

/// A panic of a visit in the finish left the lock held for ever.
#[test]
fn a_visit_that_panics_in_the_finish_gives_the_lock_back_and_condemns_nothing() {
    let (space, drops) = (manual(), Drops::new());
    let weak = space.exclusive(|cx| {
        (0..100).for_each(|_| _ = cx.alloc(drops.probe()));
        cx.own_root(cx.downgrade(cx.alloc(PanicsOnVisit::new())))
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let late = std::thread::scope(|threads| {
        let reader = || space.shared(|cx| cx.root(weak.get(cx).upgrade(cx).unwrap()));
        threads.spawn(reader).join().unwrap()
    });
    let message = "cannot look".to_string();
    assert_eq!(finish(phase).err(), Some(CollectError::VisitPanicked { message }));
    assert!(space.try_exclusive(|_| ()).is_ok());
    assert_eq!((drops.count(), space.num_objects()), (0, 102));
    space.shared(|cx| late.get(cx).calm());
    assert!(space.verify().unwrap().is_clean(), "no mark is left");
    let mut phase = begin(&space);
    phase.mark().unwrap();
    assert_eq!(reclaim(finish(phase).unwrap().0).objects_reclaimed, 100);
    assert_eq!(drops.count(), 100);
}

#[test]
fn a_cycle_can_be_given_up_in_each_phase() {
    let (space, drops) = (manual(), Drops::new());
    let root = space.exclusive(|cx| {
        (0..100).for_each(|_| _ = cx.alloc(drops.probe()));
        cx.root(cx.alloc(drops.probe()))
    });
    for give_up in 0..3 {
        let mut phase = begin(&space);
        if give_up > 0 {
            phase.mark().unwrap();
        }
        if give_up > 1 {
            drop(phase.try_finish(Duration::from_secs(60)).ok().unwrap());
        } else {
            drop(phase);
        }
        assert!(space.try_exclusive(|_| ()).is_ok());
        let report = space.verify().unwrap();
        assert!(report.is_clean(), "given up after {give_up} steps: {report}");
    }
    let mut phase = begin(&space);
    phase.mark().unwrap();
    assert_eq!(reclaim(finish(phase).unwrap().0).objects_reclaimed, 100);
    drop(root);
}

#[test]
fn an_attempt_to_finish_gives_the_phase_back_while_readers_stay() {
    within(|| {
        let space = manual();
        let (inside, wait_inside) = std::sync::mpsc::channel();
        let (leave, wait_leave) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|threads| {
            let space = &space;
            threads.spawn(move || {
                space.shared(|_| {
                    inside.send(()).unwrap();
                    let _ = wait_leave.recv();
                })
            });
            wait_inside.recv().unwrap();
            let mut phase = begin(space);
            phase.mark().unwrap();
            let moment = Duration::from_millis(1);
            let phase = phase.try_finish(moment).err().expect("a reader is inside");
            drop(leave);
            reclaim(finish(phase).unwrap().0);
        });
    });
}

#[test]
fn a_thread_that_holds_a_space_gets_its_batch_back() {
    let (space, other, drops) = (manual(), manual(), Drops::new());
    space.exclusive(|cx| cx.alloc(drops.probe()).addr());
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let (batch, _) = finish(phase).unwrap();
    assert!(space.try_claim_cycle().is_none(), "the batch keeps other cycles out");
    let batch = other.exclusive(|_| batch.reclaim().err().unwrap());
    let batch = other.shared(|_| batch.reclaim().err().unwrap());
    assert_eq!(drops.count(), 0);
    assert_eq!(reclaim(batch).objects_reclaimed, 1);
    assert!(space.try_claim_cycle().is_some());
}

/// Else whoever waits for the cycle may see the count of the one before, and the next cycle be counted first.
#[test]
fn a_cycle_of_which_nothing_remains_is_noted_before_the_next_one_may_be_claimed() {
    let space = manual();
    space.exclusive(|cx| cx.alloc(1u64).addr());
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let (batch, mut report) = finish(phase).unwrap();
    let noted = batch.reclaim_then(|reclaimed| {
        assert_eq!(reclaimed.objects_reclaimed, 1);
        assert!(space.try_claim_cycle().is_none(), "others would see this cycle missing");
        space.note_cycle(&mut report, reclaimed);
    });
    assert!(noted.is_ok());
    assert!(space.try_claim_cycle().is_some());
    assert_eq!(space.total_num_completed_gcs(), 1);
}

#[test]
fn a_batch_that_is_completed_is_counted_told_of_and_leaves_nothing_to_do() {
    let (told, drops) = (Arc::new(Mutex::new(Vec::new())), Drops::new());
    let events = Arc::clone(&told);
    let space = Space::builder()
        .on_event(move |event| {
            if let Event::Collected(report) = event {
                events.lock().unwrap().push(report.clone());
            }
        })
        .build()
        .unwrap();
    for cycle in 1..=2 {
        space.exclusive(|cx| _ = cx.alloc(drops.probe()));
        let mut phase = begin(&space);
        phase.mark().unwrap();
        let (batch, report) = finish(phase).unwrap();
        let other = CSpace::new();
        let batch = other.exclusive(|_| batch.complete(report.clone()).err().unwrap());
        assert_eq!(drops.count(), cycle - 1, "who holds a space runs no drops");
        let report = batch.complete(report).ok().unwrap();
        assert_eq!((report.cycle, report.objects_reclaimed), (cycle as u64, 1));
        assert_eq!(drops.count(), cycle);
        assert_eq!(told.lock().unwrap().last(), Some(&report));
        assert_eq!(told.lock().unwrap().len(), cycle);
        assert_eq!(space.total_num_completed_gcs(), cycle as u64);
        assert!(space.try_claim_cycle().is_some());
    }
}

/// A batch that nobody reclaimed left its allocation bits in blocks that went to other spaces with the end of its own:
/// there they stood for objects, and were dropped as such.
#[test]
fn a_batch_that_is_dropped_is_reclaimed_nevertheless() {
    let drops = Drops::new();
    for round in 1..=5 {
        let space = manual();
        space.exclusive(|cx| (0..10).for_each(|_| _ = cx.alloc(drops.probe())));
        let mut phase = begin(&space);
        phase.mark().unwrap();
        drop(finish(phase).unwrap());
        drop(space);
        let other = manual();
        other.exclusive(|cx| (0..10).for_each(|_| _ = cx.alloc(1u64)));
        let report = other.verify().unwrap();
        assert!(report.is_clean(), "{report}");
        eventually(|| drops.count() == round * 10);
    }
}

#[test]
fn a_space_takes_any_collector() {
    struct Never;
    impl Collector for Never {
        fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
            Err(CollectError::Busy { space: space.name().to_string() })
        }
        fn at_safepoint(&self, _: &Space) {}
    }
    let space = Space::builder().name("never").collector(Arc::new(Never)).build().unwrap();
    assert_eq!(space.collect(), Err(CollectError::Busy { space: "never".to_string() }));
    space.exclusive(|cx| cx.request_gc());
    assert!(space.verify().unwrap().is_clean());
}
