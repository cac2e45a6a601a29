//! Weak references from outside of the heap.

use std::thread;

use cspace::*;

use crate::probe::Drops;
use crate::watchdog::panic_of;

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

#[test]
fn a_weak_root_does_not_keep_its_object_and_is_dead_when_it_is() {
    let (space, drops) = (manual(), Drops::new());
    let (weak, root) = space.exclusive(|cx| {
        let object = cx.alloc((drops.probe(), 7u64));
        (cx.weak_root(object), cx.root(object))
    });
    let copy = weak.clone();
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(weak.upgrade(cx).unwrap().1, 7));
    drop(root);
    space.shared(|cx| assert!(!weak.is_dead(cx), "no collection has found it"));
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.shared(|cx| assert!(weak.is_dead(cx) && copy.upgrade(cx).is_none()));
    assert_eq!(space.num_objects(), 1, "the reference itself");
    drop((weak, copy));
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn it_goes_to_other_threads_and_outlives_its_space() {
    let space = manual();
    let (weak, root) = space.exclusive(|cx| {
        let object = cx.alloc("text".to_string());
        (cx.weak_root(object), cx.root(object))
    });
    let other = (space.clone(), weak.clone());
    let found = thread::spawn(move || other.0.shared(|cx| other.1.upgrade(cx).unwrap().len()));
    assert_eq!(found.join().unwrap(), 4);
    // An object may hold the same reference.
    space.exclusive(|cx| {
        let held = cx.alloc(weak.get(cx));
        assert!(Gc::ptr_eq(held.upgrade(cx).unwrap(), root.get(cx)));
    });
    drop((space, root));
    let another = manual();
    another.shared(|cx| assert_eq!(weak.try_upgrade(cx).err(), Some(WrongSpace)));
    assert!(panic_of(|| another.shared(|cx| weak.is_dead(cx))).contains("another space"));
}

#[test]
fn it_follows_its_object_through_a_merge() {
    let (target, source, drops) = (manual(), manual(), Drops::new());
    let (weak, root) = source.exclusive(|cx| {
        let object = cx.alloc(drops.probe());
        (cx.weak_root(object), cx.root(object))
    });
    target.transfer_from(&source).unwrap();
    source.shared(|cx| assert!(weak.try_upgrade(cx).is_err()));
    target.shared(|cx| assert!(Gc::ptr_eq(weak.upgrade(cx).unwrap(), root.get(cx))));
    drop(root);
    target.collect().unwrap();
    target.shared(|cx| assert!(weak.is_dead(cx)));
    assert_eq!(drops.count(), 1);
}
