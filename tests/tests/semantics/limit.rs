//! A heap limit that is passed.

use cspace::*;

use crate::probe::Drops;
use crate::watchdog::panic_of;

const LIMIT: usize = 1 << 20;

fn limited() -> CSpace {
    CSpace::builder().name("small").max_heap_bytes(LIMIT).gc(GcMode::Manual).build().unwrap()
}

#[derive(IObject)]
struct Brick {
    number: usize,
    bytes: [u64; 15],
}

fn brick(number: usize) -> Brick {
    Brick { number, bytes: [0; 15] }
}

#[test]
fn try_alloc_gives_the_value_back_and_says_by_how_much() {
    let space = limited();
    space.exclusive(|cx| {
        let error = (0..).find_map(|number| cx.try_alloc(brick(number)).err()).unwrap();
        assert_eq!(error.value.number, cx.num_objects());
        assert_eq!(error.value.bytes, [0; 15]);
        let HeapFullCause::Limit { limit, allocated } = error.cause.cause else {
            panic!("{error}");
        };
        assert_eq!(limit, LIMIT);
        assert!(allocated <= LIMIT && allocated + error.cause.requested > LIMIT);
        assert_eq!(space.memory().allocated, allocated);
        for part in [limit.to_string(), allocated.to_string(), error.cause.requested.to_string()] {
            assert!(error.to_string().contains(&part), "{error}");
        }
        assert!(error.to_string().contains("collect, and try again"), "{error}");
        assert!(cx.num_objects() * 128 > LIMIT / 2, "half of the limit can be used at least");
    });
}

/// The panic of an allocation that failed poisoned the space: one large allocation ended an interpreter.
#[test]
#[cfg_attr(miri, ignore = "fills a heap to its limit")]
fn alloc_panics_at_the_limit_without_poisoning() {
    let space = limited();
    let message = panic_of(|| space.exclusive(|cx| cx.alloc_slice_copy(&[0u8; 2 * LIMIT]).addr()));
    assert!(message.contains("the heap is full") && message.contains(&LIMIT.to_string()));
    assert!(!space.is_poisoned());
    space.exclusive(|cx| cx.alloc(brick(1)).addr());
    for _ in 0..2 {
        panic_of(|| {
            space.exclusive(|cx| (0..LIMIT).for_each(|number| _ = cx.alloc(brick(number))))
        });
        assert!(!space.is_poisoned());
    }
    space.collect().unwrap();
    space.exclusive(|cx| cx.alloc(brick(1)).addr());
}

#[test]
fn every_form_of_allocation_is_an_error_at_the_limit() {
    let space = CSpace::builder().max_heap_bytes(15).build().unwrap();
    space.exclusive(|cx| {
        assert!(cx.try_alloc(1u64).is_err());
        assert!(cx.try_alloc_tail((), 3, |i| i as u64).is_err());
        assert!(cx.try_alloc_tail_copy(7u64, &[1u64, 2]).is_err_and(|error| error.value == 7));
        assert!(cx.try_alloc_str("text").is_err());
        assert!(cx.try_alloc([0u8; 10_000]).is_err());
        assert!(cx.try_alloc([0u8; 100_000]).is_err());
        assert_eq!(cx.num_objects(), 0);
    });
    assert_eq!(space.memory().allocated, 0);
    assert!(space.verify().unwrap().is_clean());
}

#[test]
#[cfg_attr(miri, ignore = "fills a heap to its limit")]
fn a_weak_reference_is_an_error_at_the_limit() {
    let space = limited();
    space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        let weak = cx.try_downgrade(object).unwrap();
        assert!(Gc::ptr_eq(weak.upgrade(cx).unwrap(), object));
        let error = (0..LIMIT).find_map(|_| cx.try_downgrade(object).err()).unwrap();
        assert!(matches!(error.cause, HeapFullCause::Limit { limit: LIMIT, .. }), "{error}");
        assert!(cx.num_objects() > LIMIT / 32, "it takes 16 bytes");
    });
}

#[test]
fn an_element_closure_is_not_called_without_room() {
    let space = CSpace::builder().max_heap_bytes(15).build().unwrap();
    let mut called = false;
    space.exclusive(|cx| assert!(cx.try_alloc_tail((), 3, |_| called = true).is_err()));
    assert!(!called);
}

#[test]
#[cfg_attr(miri, ignore = "fills a heap to its limit ten times")]
fn after_a_collection_the_allocation_succeeds() {
    let (space, drops) = (limited(), Drops::new());
    let mut lock = space.lock();
    let mut made = 0;
    for _ in 0..10 {
        let mut value = lock.scope(|cx| loop {
            match cx.try_alloc((drops.probe(), brick(made))) {
                Ok(_) => made += 1,
                Err(error) => return error.value,
            }
        });
        assert!(lock.should_yield(), "a collection is wanted");
        lock.collect().unwrap();
        value = lock.scope(|cx| {
            let object = cx.try_alloc(value).expect("there is room now");
            made += 1;
            assert_eq!(object.1.number, made - 1);
            (drops.probe(), brick(0))
        });
        drop(value);
    }
    assert_eq!(lock.scope(|cx| cx.num_objects()) + drops.count() - 10, made);
}

#[test]
#[cfg_attr(miri, ignore = "fills a heap to its limit")]
fn the_limit_holds_for_what_is_alive() {
    let space = limited();
    let mut roots = Vec::new();
    let mut lock = space.lock();
    loop {
        let full = lock.scope(|cx| loop {
            match cx.try_alloc(brick(0)) {
                Ok(object) => roots.push(cx.root(object)),
                Err(_) => return roots.len(),
            }
        });
        lock.collect().unwrap();
        if lock.scope(|cx| cx.try_alloc(brick(0)).is_err()) {
            assert_eq!(full, roots.len());
            break;
        }
    }
    assert!(space.memory().live <= LIMIT && space.memory().live > LIMIT / 2);
    roots.truncate(10);
    lock.collect().unwrap();
    assert!(lock.scope(|cx| cx.try_alloc(brick(0)).is_ok()));
}

#[test]
#[cfg_attr(miri, ignore = "objects of 3 MiB made byte by byte")]
fn large_objects_are_within_the_limit_too() {
    let space = CSpace::builder().max_heap_bytes(8 << 20).build().unwrap();
    let mut lock = space.lock();
    for _ in 0..10 {
        lock.scope(|cx| {
            assert!(cx.try_alloc_tail_copy((), &[0u8; 3 << 20]).is_ok());
            assert!(cx.try_alloc_tail_copy((), &[0u8; 3 << 20]).is_ok());
            assert!(cx.try_alloc_tail_copy((), &[0u8; 3 << 20]).is_err());
        });
        lock.collect().unwrap();
        assert_eq!(space.memory().allocated, 0);
    }
}

/// Allocations failed while most of the heap was garbage, as the budget went beyond the limit.
#[test]
#[cfg_attr(miri, ignore = "an object of 10 MiB made byte by byte")]
fn a_limited_heap_is_collected_before_it_is_full() {
    let space = CSpace::builder().gc(GcMode::Safepoints).max_heap_bytes(16 << 20).build().unwrap();
    let mut lock = space.lock();
    let _kept = lock.scope(|cx| cx.own_root(cx.alloc_slice(10 << 20, |_| 0u8)));
    lock.collect().unwrap();
    for _ in 0..1000 {
        lock.scope(|cx| (0..100).for_each(|number| _ = cx.alloc(brick(number))));
        lock.safepoint();
    }
    // About once in the six mebibytes that are left, of twelve.
    assert!((2..=4).contains(&space.stats().cycles), "{}", space.stats().cycles);
}

/// A large allocation was denied again and again, while minor collections left what was dead and old.
#[test]
#[cfg_attr(miri, ignore = "objects of many MiB made byte by byte")]
fn what_an_allocation_lacks_is_not_left_to_minor_collections() {
    let space = CSpace::builder().gc(GcMode::Safepoints).max_heap_bytes(64 << 20).build().unwrap();
    let mut lock = space.lock();
    let (_kept, old) = lock.scope(|cx| {
        // So many that do not change that a minor collection pays.
        let kept: Vec<_> = (0..40_000u64).map(|i| cx.alloc(i)).collect();
        (cx.own_root(kept), cx.own_root(cx.alloc_slice(20 << 20, |_| 0u8)))
    });
    lock.collect().unwrap();
    drop(old);
    let large = |cx: &Exclusive<'_>| cx.try_alloc_slice(50 << 20, |_| 0u8).is_ok();
    assert!(!lock.scope(|cx| large(cx)), "there is no room yet");
    lock.safepoint();
    assert!(lock.scope(|cx| large(cx)), "there is room now");
    assert_eq!(space.stats().cycles_minor, 0);
}

#[derive(IObject)]
struct Link<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Link<'gc>>>>,
    number: usize,
}

/// The same while the mark was done in increments, some of them before it died.
#[test]
#[cfg_attr(miri, ignore = "a million objects")]
fn what_an_allocation_lacks_does_not_wait_for_increments() {
    let space = CSpace::builder().gc(GcMode::Safepoints).max_heap_bytes(256 << 20).build().unwrap();
    let mut lock = space.lock();
    let (_kept, old) = lock.scope(|cx| {
        // So many that their mark is worth increments.
        let link = |next, number| Some(cx.alloc(Link { next: Slot::new(next), number }));
        let first = (0..1 << 20).fold(None, link);
        (cx.root(first.unwrap()), cx.own_root(cx.alloc_slice(20 << 20, |_| 0u8)))
    });
    lock.collect().unwrap();
    let live = space.memory().live;
    while space.stats().increments == 0 {
        lock.scope(|cx| cx.alloc_slice(100 << 10, |_| 0u8).addr());
        lock.safepoint();
    }
    drop(old);
    assert_eq!(space.stats().cycles, 1);
    assert!(lock.scope(|cx| cx.try_alloc_slice((256 << 20) - live, |_| 0u8).is_err()));
    lock.safepoint();
    assert_eq!((space.stats().cycles, space.stats().increments), (2, 1));
    assert!(space.memory().live < live - (19 << 20));
}

/// From the first byte on, and down to heaps of a few blocks.
#[test]
#[cfg_attr(miri, ignore = "fills heaps of up to 16 MiB again and again")]
fn garbage_alone_never_fills_a_limited_heap() {
    for limit in [256 << 10, 1 << 20, 3 << 20, 16 << 20] {
        let space = CSpace::builder().gc(GcMode::Safepoints).max_heap_bytes(limit).build().unwrap();
        let mut lock = space.lock();
        for number in 0..4 * limit / size_of::<Brick>() {
            lock.scope(|cx| cx.alloc(brick(number)).addr());
            lock.safepoint();
        }
        assert!((4..=16).contains(&space.stats().cycles), "{limit}: {}", space.stats().cycles);
    }
}

/// What is charged is not in the heap: it was collected for every ten mebibytes.
#[test]
#[cfg_attr(miri, ignore = "an object of 10 MiB made byte by byte")]
fn what_is_charged_does_not_use_up_the_room_of_the_heap() {
    let space = CSpace::builder().gc(GcMode::Safepoints).max_heap_bytes(16 << 20).build().unwrap();
    let mut lock = space.lock();
    let _kept = lock.scope(|cx| cx.own_root(cx.alloc_slice(10 << 20, |_| 0u8)));
    let _held = space.ledger().try_charge(Category::Buffers, 1 << 30).unwrap();
    lock.collect().unwrap();
    let before = space.stats().cycles;
    for _ in 0..100 {
        drop(space.ledger().try_charge(Category::Buffers, 10 << 20).unwrap());
        lock.safepoint();
    }
    assert!(space.stats().cycles - before <= 2, "{}", space.stats().cycles - before);
}
