//! The nth allocation hits the heap's limit.

// The value comes back in the error: that it is large is the point here.
#![allow(clippy::result_large_err)]

use std::panic::{catch_unwind, AssertUnwindSafe};

use cspace::{Alloc, CSpace, GcAny, GcCell, GcMode, HeapFullCause};

use crate::graph::Maker;

/// A program that allocates by every function that panics when there is no room.
fn allocate<'gc>(cx: &Alloc<'gc>, maker: &Maker) -> GcAny<'gc> {
    let head = cx.alloc(maker.node(None));
    let weak = cx.downgrade(head);
    // An element's maker may find the heap full while its object is being made.
    let row = cx.alloc_tail(maker.part(Some(head.into())), 4, |i| {
        let filling = (i % 2 == 0).then(|| cx.alloc(maker.large(None)).into());
        maker.part(filling)
    });
    head.next.set(cx, Some(row.into()));
    let text = cx.alloc_str("a text of some length");
    let copied = cx.alloc_tail_copy(1u8, &[9u64; 600]);
    let slice = cx.alloc_slice(3, |i| vec![i; 10]);
    let bag = cx.alloc(GcCell::new(vec![GcAny::new(text), slice.into(), copied.into()]));
    assert!(weak.upgrade(cx).is_some());
    cx.alloc((head, bag)).into()
}

/// The same with the functions that return an error.
fn try_allocate<'gc>(cx: &Alloc<'gc>, maker: &Maker) -> Option<GcAny<'gc>> {
    let head = cx.try_alloc(maker.node(None)).ok()?;
    let mut failed = None;
    let row = cx.try_alloc_tail(maker.part(Some(head.into())), 4, |i| {
        let filling = (i % 2 == 0).then(|| cx.try_alloc(maker.large(None)));
        let filling = filling.and_then(|result| match result {
            Ok(large) => Some(large.into()),
            Err(error) => {
                // The value comes back and is dropped here.
                assert!(matches!(error.cause.cause, HeapFullCause::Limit { .. }));
                failed = Some(error.value);
                None
            }
        });
        maker.part(filling)
    });
    head.next.set(cx, Some(row.ok()?.into()));
    let text = cx.try_alloc_str("a text of some length").ok()?;
    let copied = cx.try_alloc_tail_copy(1u8, &[9u64; 600]).ok()?;
    let whole = cx.try_alloc(vec![GcAny::new(text), copied.into(), head.into()]).ok()?;
    failed.is_none().then_some(whole.into())
}

#[test]
fn a_full_heap_loses_nothing_and_works_again_when_there_is_room() {
    let mut limit = 0;
    let mut faults = 0;
    loop {
        let maker = Maker::new();
        let space = CSpace::builder()
            .gc(GcMode::Manual)
            .max_heap_bytes(limit)
            .poison_freed(true)
            .build()
            .expect("valid");
        let verify = || {
            let report = space.verify().expect("nobody is inside");
            assert!(report.is_clean(), "limit {limit}: {report}");
            assert!(space.memory().allocated <= limit, "limit {limit}: {:?}", space.memory());
        };
        let mut roots = Vec::new();
        let mut full = false;
        // The first run, then what garbage there is in the way, then after a collection.
        for round in 0..4 {
            let whole = catch_unwind(AssertUnwindSafe(|| {
                space.exclusive(|cx| cx.root(cx.alloc(allocate(cx, &maker))))
            }));
            assert!(!space.is_poisoned(), "a full heap poisons nothing");
            full |= whole.is_err();
            roots.extend(whole);
            verify();
            let tried = space.exclusive(|cx| {
                let whole = try_allocate(cx, &maker)?;
                Some(cx.root(cx.try_alloc(whole).ok()?))
            });
            full |= tried.is_none();
            verify();
            if round % 2 == 1 {
                drop(tried);
                roots.clear();
                space.synchronous_gc().expect("no visit panics");
                assert_eq!(space.num_objects(), 0);
                assert_eq!(maker.log.not_once(), None);
                verify();
            }
        }
        drop(space);
        assert_eq!(maker.log.not_once(), None);
        if !full {
            break;
        }
        faults += 1;
        // Smaller than any gap that an allocation takes.
        limit += 2048;
    }
    assert!(faults > 50, "only {faults} limits were hit");
}

#[test]
fn a_space_with_no_room_at_all_is_of_no_use_but_harmless() {
    let space = CSpace::builder().max_heap_bytes(0).build().expect("valid");
    let refused = space.exclusive(|cx| cx.try_alloc(String::from("comes back")).map(drop));
    assert_eq!(refused.expect_err("there is no room").value, "comes back");
    space.synchronous_gc().expect("nothing to do");
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn a_full_heap_survived_within_an_access_excuses_no_panic_of_a_later_one() {
    let space = CSpace::builder().max_heap_bytes(0).build().expect("valid");
    for same_access in [true, false] {
        let survive = |cx: &Alloc<'_>| {
            let full = catch_unwind(AssertUnwindSafe(|| cx.alloc(1u64).addr()));
            assert!(full.is_err());
        };
        if !same_access {
            space.exclusive(|cx| survive(cx));
            assert!(!space.is_poisoned());
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            space.exclusive(|cx| {
                if same_access {
                    survive(cx);
                }
                std::panic::resume_unwind(Box::new("half-way through a change"));
            });
        }));
        assert!(panicked.is_err());
        // In the same access it does today: the space cannot tell whether the panic that leaves is the
        // one that it noted or one that came after.
        assert_eq!(space.is_poisoned(), !same_access);
        space.clear_poison();
    }
}

#[test]
fn an_object_of_impossible_size_is_refused() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        for len in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8] {
            let refused = cx.try_alloc_tail(String::from("header"), len, |_| 0u64);
            assert_eq!(refused.map(drop).expect_err("it is too large").value, "header");
        }
    });
    assert!(space.verify().expect("nobody is inside").is_clean());
}
