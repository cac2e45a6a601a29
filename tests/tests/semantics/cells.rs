//! Slots and cells: what can be changed, and with what.

use cspace::*;

use crate::probe::{Drops, Probe};
use crate::watchdog::panic_of;

#[test]
fn a_slot_is_read_set_and_replaced() {
    CSpace::new().exclusive(|cx| {
        let slot = cx.alloc(Slot::new(1u64));
        assert_eq!(slot.get(cx), 1);
        slot.set(cx, 2);
        assert_eq!(slot.replace(cx, 3), 2);
        let (alloc, _) = cx.split();
        assert_eq!(slot.get(alloc), 3);
        assert_eq!(slot.get(cx.as_shared()), 3);
    });
}

#[test]
fn a_cell_is_borrowed_taken_and_replaced() {
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(vec![1u64]));
        cell.borrow_mut(cx).push(2);
        assert_eq!(cell.borrow(cx), &[1, 2]);
        assert_eq!(cell.replace(cx, vec![3]), [1, 2]);
        assert_eq!(cell.take(cx), [3]);
        assert!(cell.borrow(cx.as_shared()).is_empty());
        assert_eq!(GcCell::new(7u64).into_inner(), 7);
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn a_split_access_allocates_while_a_cell_is_borrowed() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let list = space.exclusive(|cx| {
        let list = cx.alloc(GcCell::new(Vec::new()));
        let (alloc, cells) = cx.split();
        let elements = list.borrow_mut(cells);
        for _ in 0..10_000 {
            let element = alloc.alloc(Slot::new(None));
            element.set(alloc, Some(alloc.alloc(drops.probe())));
            elements.push(element);
        }
        alloc.root(list)
    });
    space.collect().unwrap();
    space.exclusive(|cx| {
        let list = list.get(cx);
        assert_eq!(list.borrow(cx).len(), 10_000);
        assert!(list.borrow(cx).iter().all(|slot| slot.get(cx).is_some()));
        list.borrow_mut(cx).truncate(100);
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 9_900);
}

#[test]
fn a_slot_in_a_borrowed_cell_is_set() {
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(vec![Slot::new(1u64)]));
        let (alloc, cells) = cx.split();
        let slots = cell.borrow_mut(cells);
        slots[0].set(alloc, 2);
        slots.push(Slot::new(3));
        let values: Vec<u64> = cell.borrow(cx).iter().map(|slot| slot.get(cx)).collect();
        assert_eq!(values, [2, 3]);
    });
}

#[test]
fn borrow_mut2_gives_two_cells() {
    CSpace::new().exclusive(|cx| {
        let (a, b) = (cx.alloc(GcCell::new(vec![1u64])), cx.alloc(GcCell::new("x".to_string())));
        let (numbers, text) = a.borrow_mut2(&b, cx);
        numbers.push(2);
        text.push('y');
        assert_eq!((a.borrow(cx).len(), b.borrow(cx).as_str()), (2, "xy"));
    });
}

#[test]
fn borrow_mut2_of_parts_of_one_object_gives_both() {
    CSpace::new().exclusive(|cx| {
        let pair = cx.alloc((GcCell::new(1u64), GcCell::new(2u64)));
        let (a, b) = pair.0.borrow_mut2(&pair.1, cx);
        std::mem::swap(a, b);
        assert_eq!((*pair.0.borrow(cx), *pair.1.borrow(cx)), (2, 1));
    });
}

/// Two mutable borrows of one cell, both handed out by one call.
#[test]
fn borrow_mut2_refuses_one_cell_given_twice() {
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(1u64));
        let same = cell;
        assert!(panic_of(|| *cell.borrow_mut2(&same, cx).0).contains("are the same"));
        assert_eq!(*cell.borrow(cx), 1);
    });
}

/// What has no size was taken for nothing, of which there may be two; but it may stand for something: a token of
/// ownership, of which there is one.
#[test]
fn borrow_mut2_refuses_one_cell_without_a_size_given_twice() {
    #[derive(IObject)]
    struct Wrapper<'gc> {
        _before: [u64; 2],
        empty: GcCell<'gc, Static<Empty>>,
    }
    struct Empty;
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(Static(Empty)));
        let same = cell;
        assert!(panic_of(|| _ = cell.borrow_mut2(&same, cx)).contains("are the same"));
        let array = cx.alloc(GcCell::new([0u64; 0]));
        assert!(panic_of(|| _ = array.borrow_mut2(&array, cx)).contains("are the same"));
        let wrapper = cx.alloc(Wrapper { _before: [0; 2], empty: GcCell::new(Static(Empty)) });
        let empty = &wrapper.as_ref().empty;
        assert!(panic_of(|| _ = empty.borrow_mut2(empty, cx)).contains("are the same"));
    });
}

#[test]
fn borrow_mut2_gives_two_cells_without_a_size_if_they_are_of_two_objects() {
    CSpace::new().exclusive(|cx| {
        let cells: Vec<_> = (0..1000).map(|_| cx.alloc(GcCell::new(()))).collect();
        let full = cx.alloc(GcCell::new(1u64));
        for pair in cells.windows(2) {
            let ((), ()) = pair[0].borrow_mut2(&pair[1], cx);
            let ((), full) = pair[0].borrow_mut2(&full, cx);
            *full += 1;
        }
        assert_eq!(*full.borrow(cx), 1000);
    });
}

/// Their addresses do not tell them from one cell.
#[test]
fn borrow_mut2_refuses_cells_without_a_size_at_one_place_of_an_object() {
    CSpace::new().exclusive(|cx| {
        let pair = cx.alloc((GcCell::new(()), GcCell::new(())));
        assert!(panic_of(|| _ = pair.0.borrow_mut2(&pair.1, cx)).contains("are the same"));
    });
}

/// A reference reached from the access alone, not from its object, is stored and kept.
#[test]
fn what_a_slot_and_a_cell_hold_is_traced_each_time() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let root = space.exclusive(|cx| {
        let object =
            cx.alloc((Slot::new(None::<Gc<'_, Static<Probe>>>), GcCell::new(None::<GcAny<'_>>)));
        cx.root(object)
    });
    for _ in 0..5 {
        space.exclusive(|cx| {
            let object = root.get(cx);
            object.0.set(cx, Some(cx.alloc(drops.probe())));
            *object.1.borrow_mut(cx) = Some(GcAny::new(object));
        });
        space.collect().unwrap();
    }
    assert_eq!((drops.count(), space.num_objects()), (4, 2));
}
