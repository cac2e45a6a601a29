//! A space whose last handle was dropped while a batch of it waited to be reclaimed gave its memory back, and the batch
//! swept it afterwards: its objects that were alive were never dropped, and those of a space that had leased the memory
//! since were dropped in their stead.

use std::sync::{Arc, Mutex};

use cspace::*;

use crate::probe::{on_drop, Drops};
use crate::watchdog::eventually;

#[test]
fn objects_of_a_deferred_batch_are_dropped_with_their_space() {
    let drops = Drops::new();
    let (outer, inner) = (CSpace::new(), CSpace::new());
    let root = inner.exclusive(|cx| {
        cx.alloc(drops.probe());
        cx.root(cx.alloc(drops.probe()))
    });
    outer.exclusive(|_| {
        assert!(inner.collect().unwrap().sweep_deferred);
        drop(inner);
        drop(root);
    });
    eventually(|| drops.count() == 2);
}

#[test]
fn a_deferred_batch_does_not_sweep_what_another_space_put_in_its_memory() {
    let (drops, others) = (Drops::new(), Drops::new());
    let (outer, inner, between) = (CSpace::new(), CSpace::new(), CSpace::new());
    inner.exclusive(|cx| (0..10).for_each(|_| _ = cx.alloc(drops.probe())));
    let made = Arc::new(Mutex::new(None));
    let (in_drop, count) = (made.clone(), others.clone());
    between.exclusive(|cx| {
        let make = move || {
            let space = CSpace::new();
            let roots: Vec<_> =
                space.exclusive(|cx| (0..5).map(|_| cx.root(cx.alloc(count.probe()))).collect());
            let report = space.verify().unwrap();
            *in_drop.lock().unwrap() = Some((space, roots, report));
        };
        cx.alloc(on_drop(make)).addr()
    });
    // Three pieces of work are left: the last is the end of `inner`, and may be done first.
    outer.exclusive(|_| {
        assert!(inner.collect().unwrap().sweep_deferred);
        assert!(between.collect().unwrap().sweep_deferred);
        drop(inner);
    });
    eventually(|| drops.count() == 10 && made.lock().unwrap().is_some());
    let (space, roots, report) = made.lock().unwrap().take().unwrap();
    assert!(report.is_clean(), "{report}");
    let report = space.verify().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((others.count(), space.num_objects()), (0, 5));
    drop(roots);
}
