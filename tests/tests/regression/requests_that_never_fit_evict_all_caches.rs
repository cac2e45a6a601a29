//! A request for more than a limit allows in all was denied, and everything evictable went for its sake.

use cspace::collector::ForCollectors;
use cspace::*;

const MIB: usize = 1 << 20;

/// Ten evictable objects that stand for a MiB each.
fn pages(space: &CSpace) -> Vec<EvictableRoot<u64>> {
    space.exclusive(|cx| {
        let page = |i: u64| {
            let page = cx.evictable_root(cx.alloc(i));
            page.evictable(cx).set_size_bytes(cx, MIB);
            page
        };
        (0..10).map(page).collect()
    })
}

/// Calls `request` in an access to a space with caches, and looks whether anything comes of it.
fn leaves_no_trace(builder: Builder, request: impl Fn(&Exclusive<'_>)) {
    let space = builder.gc(GcMode::Safepoints).build().unwrap();
    let pages = pages(&space);
    let (bytes, bytes_max) = (space.ledger().bytes(), space.ledger().bytes_max());
    let mut lock = space.lock();
    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
        lock.scope(|cx| request(cx));
        lock.safepoint();
    }
    drop(lock);
    assert!(!space.wants_collection());
    assert_eq!(space.total_num_completed_gcs(), 0);
    assert_eq!((space.ledger().bytes(), space.ledger().bytes_max()), (bytes, bytes_max));
    // Nor does the next one find that anything is lacking.
    space.collect().unwrap();
    space.shared(|cx| assert!(pages.iter().all(|page| page.peek(cx).is_some())));
}

#[test]
fn a_charge_beyond_the_limit_is_refused_and_nothing_else() {
    for bytes in [MIB + 1, 1 << 62, usize::MAX] {
        leaves_no_trace(CSpace::builder().memory_limit(MIB), |cx| {
            let full = cx.ledger().try_charge(Category::Buffers, bytes).unwrap_err();
            assert_eq!((full.requested, full.limit), (bytes, MIB));
            assert!(cx.ledger().try_begin_charge(Category::Buffers, bytes, 0).is_err());
            let mut charge = cx.ledger().try_charge(Category::Buffers, 0).unwrap();
            assert!(charge.try_grow(bytes).is_err());
            assert!(charge.try_begin_grow(bytes).is_err());
        });
    }
}

#[test]
fn a_charge_beyond_its_categorys_limit_is_refused_and_nothing_else() {
    leaves_no_trace(CSpace::builder(), |cx| {
        cx.ledger().set_category_limit(Category::Buffers, Some(1000));
        assert!(cx.ledger().try_charge(Category::Buffers, 2000).is_err());
    });
}

#[test]
fn what_no_sum_can_say_is_refused_and_nothing_else() {
    let external = Ledger::default();
    let _some = external.try_charge(Category::External, 10).unwrap();
    assert!(external.try_charge(Category::External, usize::MAX).is_err());
    leaves_no_trace(CSpace::builder(), |cx| {
        // Of objects there are some bytes.
        assert!(cx.ledger().try_charge(Category::External, usize::MAX).is_err());
    });
}

#[test]
fn an_object_beyond_the_limit_is_refused_and_nothing_else() {
    let request = |cx: &Exclusive<'_>| {
        for len in [MIB + 1, 1 << 40, 1 << 62] {
            let full = cx.try_alloc_slice(len, |_| 0u8).unwrap_err();
            assert!(!matches!(full.cause, HeapFullCause::System), "{full}");
        }
        assert!(cx.try_alloc_slice(usize::MAX, |_| 0u8).is_err());
    };
    leaves_no_trace(CSpace::builder().max_heap_bytes(MIB), request);
    leaves_no_trace(CSpace::builder().memory_limit(MIB), request);
}

/// What fits if enough goes is what caches go for.
#[test]
fn what_may_fit_is_made_room_for() {
    let space = CSpace::builder().gc(GcMode::Safepoints).memory_limit(2 * MIB).build().unwrap();
    let pages = pages(&space);
    let held = space.ledger().try_charge(Category::Maps, MIB).unwrap();
    let mut lock = space.lock();
    lock.scope(|cx| assert!(cx.ledger().try_charge(Category::Buffers, 2 * MIB).is_err()));
    lock.safepoint();
    lock.scope(|cx| assert!(pages.iter().any(|page| page.peek(cx).is_none())));
    drop(held);
}
