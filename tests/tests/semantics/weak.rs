//! Weak references: whole or gone.

use std::sync::mpsc::channel;
use std::thread;

use cspace::*;

use crate::probe::{manual, Drops};
use crate::roots::Gate;
use crate::watchdog::within;

#[test]
fn a_weak_reference_keeps_nothing_and_says_so() {
    let (space, drops) = (manual(), Drops::new());
    let (weak, strong) = space.exclusive(|cx| {
        let object = cx.alloc(drops.probe());
        (cx.own_root(cx.downgrade(object)), cx.root(object))
    });
    space.collect().unwrap();
    space.shared(|cx| {
        let object = weak.get(cx).upgrade(cx).unwrap();
        assert!(Gc::ptr_eq(object, strong.get(cx)));
        assert!(!weak.get(cx).is_dead(cx));
    });
    drop(strong);
    space.shared(|cx| assert!(!weak.get(cx).is_dead(cx), "nothing was collected yet"));
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.shared(|cx| assert!(weak.get(cx).is_dead(cx) && weak.get(cx).upgrade(cx).is_none()));
    space.collect().unwrap();
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn an_upgrade_that_is_stored_keeps_the_object() {
    let (space, drops) = (manual(), Drops::new());
    let weak = space.exclusive(|cx| cx.own_root(cx.downgrade(cx.alloc(drops.probe()))));
    let root = space.exclusive(|cx| cx.root(weak.get(cx).upgrade(cx).unwrap()));
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    drop(root);
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn weak_references_of_one_cycle_die_together() {
    let (space, drops) = (manual(), Drops::new());
    let weaks = space.exclusive(|cx| {
        let a = cx.alloc((drops.probe(), Slot::new(None)));
        let b = cx.alloc((drops.probe(), Slot::new(Some(GcAny::new(a)))));
        a.1.set(cx, Some(GcAny::new(b)));
        let weaks = vec![cx.downgrade(a), cx.downgrade(b), cx.downgrade(a)];
        cx.own_root(weaks)
    });
    space.shared(|cx| assert!(weaks.get(cx).iter().all(|weak| weak.upgrade(cx).is_some())));
    space.collect().unwrap();
    space.shared(|cx| assert!(weaks.get(cx).iter().all(|weak| weak.is_dead(cx))));
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_weak_reference_of_a_dead_object_may_be_dead_itself() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let target = cx.alloc(drops.probe());
        cx.alloc((cx.downgrade(target), target));
    });
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (1, 0));
}

#[test]
fn an_object_may_refer_to_itself_weakly() {
    let space = manual();
    let root = space.exclusive(|cx| {
        let object = cx.alloc(Slot::new(None));
        object.set(cx, Some(GcAny::new(cx.alloc(cx.downgrade(object)))));
        cx.root(object)
    });
    for _ in 0..3 {
        space.collect().unwrap();
        assert_eq!(space.num_objects(), 3);
    }
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "up to 10,000 objects")]
fn the_memory_of_a_dead_object_is_used_again_and_its_weak_reference_stays_dead() {
    let space = manual();
    let weak = space.exclusive(|cx| cx.own_root(cx.downgrade(cx.alloc(Slot::new(1u64)))));
    let address = space.exclusive(|cx| weak.get(cx).upgrade(cx).unwrap().addr());
    space.collect().unwrap();
    space.exclusive(|cx| {
        let again = (0..10_000).any(|_| cx.alloc(Slot::new(2u64)).addr() == address);
        assert!(again, "memory is used again");
        assert!(weak.get(cx).is_dead(cx));
    });
}

#[test]
fn an_abandoned_collection_clears_no_weak_reference() {
    let space = manual();
    let weak = space.exclusive(|cx| cx.own_root(cx.downgrade(cx.alloc(1u64))));
    let bad = space.exclusive(|cx| cx.root(cx.alloc(crate::collect::PanicsOnVisit::new())));
    assert!(space.collect().is_err());
    space.shared(|cx| assert_eq!(*weak.get(cx).upgrade(cx).unwrap(), 1));
    drop(bad);
    space.collect().unwrap();
    space.shared(|cx| assert!(weak.get(cx).is_dead(cx)));
}

/// A reader that upgrades while the mark is under way must not be left with a condemned object.
#[test]
fn an_upgrade_during_the_mark_is_good_for_its_access() {
    within(|| {
        let (space, drops) = (manual(), Drops::new());
        let (marking, wait_marking) = channel();
        let (go_on, wait_go_on) = channel();
        let gate = space.exclusive(|cx| cx.root(cx.alloc(Gate::new(marking, wait_go_on))));
        let weak = space.exclusive(|cx| {
            let target = cx.alloc(drops.probe());
            cx.own_root(cx.downgrade(cx.alloc((7u64, target))))
        });
        thread::scope(|threads| {
            let collector = threads.spawn(|| space.collect().unwrap());
            wait_marking.recv().unwrap();
            space.shared(|cx| {
                let pair = weak.get(cx).upgrade(cx).unwrap();
                go_on.send(()).unwrap();
                // The finish waits for the end of this access, so the sweep does too.
                for _ in 0..100 {
                    thread::yield_now();
                    assert_eq!((pair.0, drops.count()), (7, 0));
                    assert!(!weak.get(cx).is_dead(cx));
                }
            });
            collector.join().unwrap();
        });
        assert_eq!(drops.count(), 1);
        space.shared(|cx| assert!(weak.get(cx).is_dead(cx)));
        drop(go_on);
        drop(gate);
    });
}

#[test]
fn a_weak_handle_of_a_space_does_not_keep_it() {
    let (space, drops) = (manual(), Drops::new());
    let weak = space.downgrade();
    let handle = weak.clone();
    // An object that has to find its space holds this, not the space: that would keep itself alive.
    space.exclusive(|cx| cx.alloc((Static(handle), drops.probe())).addr());
    assert!(CSpace::ptr_eq(&weak.upgrade().unwrap(), &space));
    drop(space);
    assert!(weak.upgrade().is_none());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_drop_finds_its_space_alive_in_a_sweep_and_gone_at_its_end() {
    use crate::probe::on_drop;
    let (space, seen) = (manual(), std::sync::Arc::new(std::sync::Mutex::new(Vec::new())));
    for _ in 0..2 {
        let (weak, seen) = (space.downgrade(), seen.clone());
        space.exclusive(|cx| {
            cx.alloc(on_drop(move || seen.lock().unwrap().push(weak.upgrade().is_some()))).addr()
        });
        if seen_len(&space) == 0 {
            space.collect().unwrap();
        }
    }
    drop(space);
    assert_eq!(*seen.lock().unwrap(), [true, false]);
    fn seen_len(space: &CSpace) -> u64 {
        space.total_num_completed_gcs()
    }
}
