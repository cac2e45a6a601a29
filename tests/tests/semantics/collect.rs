//! Collections that cannot be run, and those that are given up.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use cspace::*;

use crate::probe::Drops;
use crate::watchdog::{eventually, panic_of, within};

/// An object whose visit panics, at first.
pub struct PanicsOnVisit(AtomicBool);

impl PanicsOnVisit {
    pub fn new() -> PanicsOnVisit {
        PanicsOnVisit(AtomicBool::new(true))
    }

    pub fn calm(&self) {
        self.0.store(false, SeqCst);
    }
}

impl Rootable for PanicsOnVisit {
    type At<'gc> = PanicsOnVisit;
}
// SAFETY: there are no references inside.
unsafe impl<'gc> IObject<'gc> for PanicsOnVisit {
    type R = PanicsOnVisit;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        assert!(!self.0.load(SeqCst), "cannot look");
    }
}

#[test]
fn a_collection_inside_an_access_is_an_error() {
    let space = CSpace::builder().name("inside").build().unwrap();
    let inside = CollectError::InsideAccess { space: "inside".to_string() };
    space.exclusive(|_| {
        assert_eq!(space.collect(), Err(inside.clone()));
        assert_eq!(space.synchronous_gc(), Err(inside.clone()));
        assert_eq!(space.verify(), Err(inside.clone()));
    });
    space.shared(|_| assert_eq!(space.collect(), Err(inside.clone())));
    let _lock = space.lock();
    assert!(inside.to_string().contains("leave the access"));
    assert_eq!(space.collect(), Err(inside));
    assert_eq!(space.total_num_completed_gcs(), 0);
}

#[test]
fn a_guard_collects_by_giving_its_lock_up() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let mut lock = space.lock();
    lock.scope(|cx| cx.alloc(drops.probe()).addr());
    assert_eq!(lock.collect().unwrap().objects_reclaimed, 1);
    assert_eq!(drops.count(), 1);
    lock.unlocked(|| space.collect().map(drop)).unwrap();
    assert_eq!(space.total_num_completed_gcs(), 2);
}

#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn without_a_collector_nothing_is_collected_and_the_error_says_why() {
    let drops = Drops::new();
    let space = CSpace::builder().name("still").gc(GcMode::Off).build().unwrap();
    let mut lock = space.lock();
    lock.scope(|cx| {
        for _ in 0..10_000 {
            cx.alloc(drops.probe());
        }
        cx.request_gc();
    });
    lock.safepoint();
    assert_eq!(lock.collect(), Err(CollectError::NoCollector { space: "still".to_string() }));
    drop(lock);
    assert_eq!((space.num_objects(), drops.count()), (10_000, 0));
    assert!(space.verify().unwrap().is_clean());
    drop(space);
    assert_eq!(drops.count(), 10_000);
}

#[test]
fn a_space_of_the_core_alone_has_no_collector() {
    let space = Space::builder().build().unwrap();
    assert!(matches!(space.collect(), Err(CollectError::NoCollector { .. })));
    space.request_gc();
    space.lock().safepoint();
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn a_manual_collector_runs_when_it_is_asked_to() {
    let space = CSpace::builder().gc(GcMode::Manual).gc_budget_floor(64 << 10).build().unwrap();
    let mut lock = space.lock();
    for _ in 0..100 {
        lock.scope(|cx| (0..1000u64).for_each(|i| _ = cx.alloc(i)));
        lock.safepoint();
    }
    assert_eq!(space.total_num_completed_gcs(), 0);
    space.request_gc();
    lock.safepoint();
    assert_eq!(space.total_num_completed_gcs(), 1);
    lock.collect().unwrap();
    assert_eq!(space.total_num_completed_gcs(), 2);
}

#[test]
#[cfg_attr(miri, ignore = "allocates until the budget is used up")]
fn allocation_makes_safepoints_collect() {
    let drops = Drops::new();
    let space = CSpace::builder().gc_budget_floor(256 << 10).build().unwrap();
    let mut lock = space.lock();
    let mut made = 0;
    while space.total_num_completed_gcs() < 3 {
        lock.scope(|cx| {
            while !cx.should_yield() {
                cx.alloc(drops.probe());
                made += 1;
                assert!(made < 1_000_000, "no collection was wanted");
            }
        });
        lock.safepoint();
    }
    // Those of the last one may still be under way, on the worker.
    let alive = lock.scope(|cx| cx.num_objects());
    eventually(|| made == drops.count() + alive);
}

#[test]
#[cfg_attr(miri, ignore = "allocates until the budget is used up")]
fn many_short_accesses_collect_as_well() {
    let space = CSpace::builder().gc_budget_floor(256 << 10).build().unwrap();
    for _ in 0..2000 {
        space.exclusive(|cx| (0..100u64).for_each(|i| _ = cx.alloc(i)));
    }
    assert!(space.total_num_completed_gcs() >= 3);
    assert!(space.num_objects() < 100_000);
}

/// A visit that panicked left the space locked and half of it marked.
#[test]
#[cfg_attr(miri, ignore = "2,000 objects")]
fn a_visit_that_panics_abandons_the_collection_and_harms_nothing() {
    within(|| {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = events.clone();
        let space = CSpace::builder()
            .on_event(move |event| log.lock().unwrap().push(format!("{event:?}")))
            .build()
            .unwrap();
        let drops = Drops::new();
        let (root, bad) = space.exclusive(|cx| {
            for _ in 0..1000 {
                cx.alloc(drops.probe());
            }
            let kept: Vec<_> = (0..1000).map(|_| cx.alloc(drops.probe())).collect();
            (cx.root(cx.alloc(kept)), cx.root(cx.alloc(PanicsOnVisit::new())))
        });
        for i in 1..=3 {
            let error = CollectError::VisitPanicked { message: "cannot look".to_string() };
            assert_eq!(space.collect(), Err(error));
            assert_eq!((drops.count(), space.num_objects()), (0, 2002));
            let stats = space.stats();
            assert_eq!((stats.cycles, stats.cycles_abandoned), (0, i));
        }
        assert!(space.try_exclusive(|_| ()).is_ok(), "the lock is free");
        space.shared(|cx| bad.get(cx).calm());
        assert!(space.verify().unwrap().is_clean());
        assert_eq!(space.collect().unwrap().objects_reclaimed, 1000);
        assert_eq!((drops.count(), space.num_objects()), (1000, 1002));
        assert_eq!(space.shared(|cx| root.get(cx).len()), 1000);
        let events = events.lock().unwrap();
        assert_eq!(events.len(), 4);
        assert!(events[0].contains("CollectionAbandoned") && events[0].contains("cannot look"));
    });
}

/// In the finish nobody else can be woken up to help: a panic there must give the lock back, too.
#[test]
fn a_visit_that_panics_in_the_finish_abandons_the_collection() {
    within(|| {
        let (space, drops) = (CSpace::new(), Drops::new());
        let (marking, wait_marking) = std::sync::mpsc::channel();
        let (go_on, wait_go_on) = std::sync::mpsc::channel();
        let (gate, bad) = space.exclusive(|cx| {
            cx.alloc(drops.probe());
            let gate = cx.root(cx.alloc(crate::roots::Gate::new(marking, wait_go_on)));
            (gate, cx.own_root(cx.downgrade(cx.alloc(PanicsOnVisit::new()))))
        });
        std::thread::scope(|threads| {
            let collector = threads.spawn(|| space.collect());
            wait_marking.recv().unwrap();
            // Rooted while the mark is under way, the object is visited by its end.
            let late = space.shared(|cx| cx.root(bad.get(cx).upgrade(cx).unwrap()));
            go_on.send(()).unwrap();
            assert!(matches!(collector.join().unwrap(), Err(CollectError::VisitPanicked { .. })));
            assert_eq!(drops.count(), 0);
            assert!(space.try_exclusive(|_| ()).is_ok());
            drop(late);
        });
        drop(go_on);
        drop(gate);
        assert_eq!(space.collect().unwrap().objects_reclaimed, 3);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_panic_whose_payload_panics_is_survived() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    struct Throws;
    impl Rootable for Throws {
        type At<'gc> = Throws;
    }
    // SAFETY: there are no references inside.
    unsafe impl<'gc> IObject<'gc> for Throws {
        type R = Throws;
        fn visit_objects(&self, _: &mut Visitor<'_>) {
            std::panic::panic_any(Bomb);
        }
    }
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        cx.alloc(crate::probe::on_drop(|| std::panic::panic_any(Bomb)));
        cx.root(cx.alloc(Throws))
    });
    let message = "a panic without a message".to_string();
    assert_eq!(space.collect(), Err(CollectError::VisitPanicked { message }));
    drop(root);
    assert_eq!(space.collect().unwrap().drop_panics, 1);
}

#[test]
#[cfg_attr(miri, ignore = "dozens of collections on eight threads")]
fn collections_asked_for_by_many_threads_all_complete() {
    within(|| {
        let space = CSpace::new();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..50 {
                        space.exclusive(|cx| cx.alloc("garbage".to_string()).addr());
                        let before = space.total_num_completed_gcs();
                        space.collect().unwrap();
                        assert!(space.total_num_completed_gcs() > before);
                    }
                });
            }
        });
        space.collect().unwrap();
        assert_eq!(space.num_objects(), 0);
    });
}

#[test]
fn a_report_adds_up() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        (0..100u64).for_each(|i| _ = cx.alloc(i));
        cx.root(cx.alloc(GcCell::new(vec![0u64; 1000])))
    });
    let report = space.collect().unwrap();
    assert_eq!((report.cycle, report.objects_live, report.objects_reclaimed), (1, 1, 100));
    assert!(report.bytes_live > 0 && report.bytes_external >= 8000);
    assert_eq!((report.drop_panics, report.sweep_deferred), (0, false));
    assert!(report.finish <= report.pause);
    let stats = space.stats();
    assert_eq!((stats.cycles, stats.objects_reclaimed, stats.drop_panics), (1, 100, 0));
    assert!(stats.pause_max <= stats.pause_total && stats.finish_max <= stats.pause_max);
    assert_eq!(space.collect().unwrap().cycle, 2);
    drop(root);
}

#[test]
fn a_listener_that_panics_is_not_the_collectors_business() {
    let space = CSpace::builder().on_event(|_| panic!("not listening")).build().unwrap();
    space.exclusive(|cx| cx.alloc(1u64).addr());
    assert_eq!(space.collect().unwrap().objects_reclaimed, 1);
    assert!(space.try_exclusive(|_| ()).is_ok());
}

#[test]
fn a_panic_of_an_access_leaves_collections_going() {
    let (space, drops) = (CSpace::new(), Drops::new());
    panic_of(|| {
        space.exclusive(|cx| {
            cx.alloc(drops.probe());
            panic!("half way")
        })
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}
