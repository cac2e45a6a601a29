//! The nth element of an object with a tail panics while it is made.

use std::panic::{catch_unwind, AssertUnwindSafe};

use cspace::{Alloc, CSpace, GcAny, GcMode};

use crate::graph::{Maker, Node, Part, Row};
use crate::trap::{every_place, Trap};

/// Makes rows within rows: an element's maker allocates, also objects of the type being made.
fn rows<'gc>(cx: &Alloc<'gc>, maker: &Maker, trap: &Trap, depth: usize) -> GcAny<'gc> {
    let row: cspace::Gc<'gc, Row<'gc>> = cx.alloc_tail(maker.part(None), 3, |i| {
        trap.spring();
        let inner = (depth > 0 && i != 1).then(|| rows(cx, maker, trap, depth - 1));
        trap.spring();
        maker.part(inner)
    });
    row.into()
}

#[test]
fn elements_made_before_a_panic_are_dropped_once_and_those_after_never_were() {
    let places = every_place(|nth| {
        let (maker, trap) = (Maker::new(), Trap::default());
        let space = CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().expect("valid");
        let root = space.exclusive(|cx| cx.root(cx.alloc(maker.node(None))));
        trap.arm(nth);
        let result = catch_unwind(AssertUnwindSafe(|| {
            space.exclusive(|cx| {
                let rows = rows(cx, &maker, &trap, 2);
                root.get(cx).next.set(cx, Some(rows));
            });
        }));
        let done = trap.disarm();
        assert_eq!(result.is_ok(), done);
        assert_eq!(space.is_poisoned(), !done);
        space.clear_poison();
        // What was being made is an object, with the elements that it had.
        assert!(space.verify().expect("nobody is inside").is_clean());
        let report = space.synchronous_gc().expect("no visit panics");
        assert_eq!(report.drop_panics, 0);
        assert!(space.verify().expect("nobody is inside").is_clean());
        assert_eq!(space.num_objects(), if done { 1 + 1 + 2 + 4 } else { 1 });
        drop(root);
        drop(space);
        assert_eq!(maker.log.not_once(), None);
        !done
    });
    assert_eq!(places, 2 * 3 * (1 + 2 + 4));
}

#[test]
fn a_panic_caught_within_the_access_leaves_an_object_that_nobody_has() {
    let places = every_place(|nth| {
        let (maker, trap) = (Maker::new(), Trap::default());
        let space = CSpace::builder().gc(GcMode::Manual).build().expect("valid");
        space.exclusive(|cx| {
            trap.arm(nth);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                rows(cx, &maker, &trap, 1);
            }));
            assert_eq!(caught.is_err(), nth <= 2 * 3 * 3);
            cx.alloc(maker.node(None));
        });
        assert!(!space.is_poisoned(), "no panic left the access");
        assert!(space.verify().expect("nobody is inside").is_clean());
        space.synchronous_gc().expect("no visit panics");
        assert_eq!(space.num_objects(), 0);
        assert_eq!(maker.log.not_once(), None);
        !trap.disarm()
    });
    assert_eq!(places, 2 * 3 * 3);
}

/// A header whose drop panics does not keep the elements from being dropped, nor the reverse.
#[test]
fn a_drop_that_panics_within_an_object_with_a_tail_leaves_its_other_parts_alone() {
    let places = every_place(|nth| {
        let maker = Maker::new();
        let space = CSpace::builder().gc(GcMode::Manual).build().expect("valid");
        space.exclusive(|cx| {
            let row: cspace::Gc<'_, Row<'_>> =
                cx.alloc_tail(maker.part(None), 3, |_| maker.part(None));
            let _: &Part<'_> = row.header();
            let _: cspace::Gc<'_, Node<'_>> = cx.alloc(maker.node(None));
        });
        maker.drop.arm(nth);
        let report = space.synchronous_gc().expect("no visit panics");
        let done = maker.drop.disarm();
        assert_eq!(report.drop_panics, usize::from(!done));
        assert_eq!(maker.log.not_once(), None);
        !done
    });
    assert_eq!(places, 5);
}
