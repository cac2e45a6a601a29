//! A charge for memory that the system then refused stayed the most bytes that there had been, and was a reason for a
//! collection.

use cspace::collector::ForCollectors;
use cspace::*;

const HUGE: usize = 1 << 62;

#[test]
fn a_pending_charge_that_is_dropped_leaves_no_trace() {
    let space =
        CSpace::builder().gc(GcMode::Safepoints).memory_soft_limit(1 << 30).build().unwrap();
    let ledger = space.ledger();
    let mut charge = ledger.try_charge(Category::Arenas, 100).unwrap();
    let mut lock = space.lock();
    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
        let pending = ledger.try_begin_charge(Category::Buffers, HUGE, HUGE).unwrap();
        assert_eq!(ledger.account(Category::Buffers).count, 1);
        assert!(ledger.try_charge(Category::Maps, usize::MAX - HUGE).is_err(), "it is taken");
        let more = charge.try_begin_grow(HUGE).unwrap();
        assert_eq!((pending.bytes(), more.capacity()), (HUGE, HUGE));
        // What comes meanwhile is noted without it.
        drop(ledger.try_charge(Category::Maps, 50).unwrap());
        drop((pending, more));
        lock.safepoint();
    }
    drop(lock);
    assert_eq!(space.total_num_completed_gcs(), 0);
    assert_eq!((charge.bytes(), ledger.charged(), ledger.bytes_max()), (100, 100, 150));
    assert_eq!(ledger.account(Category::Buffers), Account::default());
    assert_eq!(ledger.account(Category::Arenas).bytes_max, 100);
    let more = charge.try_begin_grow(10).unwrap();
    charge.add(more);
    assert_eq!((charge.bytes(), ledger.account(Category::Arenas).bytes_max), (110, 110));
    let begun = ledger.begin_charge(Category::Buffers, 7, 5, |_| panic!("there is room")).unwrap();
    assert_eq!(ledger.account(Category::Buffers).bytes_max, 0);
    let begun = begun.complete();
    assert_eq!((begun.bytes(), begun.capacity()), (7, 5));
    drop((charge, begun));
    assert_eq!((ledger.charged(), ledger.account(Category::Buffers).bytes_max), (0, 7));
}

#[test]
fn a_pending_charge_moves_with_its_ledger() {
    let (source, target) = (CSpace::new(), CSpace::new());
    let ledger = source.ledger();
    let [dropped, kept] =
        [HUGE, 10].map(|bytes| ledger.try_begin_charge(Category::Maps, bytes, bytes).unwrap());
    target.transfer_from(&source).unwrap();
    assert_eq!(target.ledger().bytes_max(), 0);
    drop(dropped);
    let kept = kept.complete();
    assert_eq!((target.ledger().charged(), target.ledger().bytes_max()), (10, 10));
    drop(kept);
    assert_eq!(ledger.charged(), 0);
}

#[test]
#[should_panic(expected = "only what was begun by `try_begin_grow`")]
fn a_charge_of_its_own_is_not_added_to_another() {
    let ledger = Ledger::default();
    let mut charge = ledger.try_charge(Category::Maps, 1).unwrap();
    let other = ledger.try_begin_charge(Category::Maps, 1, 1).unwrap();
    charge.add(other);
}

/// More than the system can map at all.
#[test]
fn an_object_that_the_system_refuses_leaves_no_trace() {
    for builder in [CSpace::builder(), CSpace::builder().memory_limit(usize::MAX - 1)] {
        let space = builder.gc(GcMode::Safepoints).build().unwrap();
        let mut lock = space.lock();
        for _ in 0..if cfg!(miri) { 3 } else { 100 } {
            let full = lock.scope(|cx| cx.try_alloc_slice(HUGE, |_| 0u8).unwrap_err());
            assert_eq!(full.cause, HeapFullCause::System);
            lock.safepoint();
        }
        drop(lock);
        assert!(!space.wants_collection());
        assert_eq!((space.total_num_completed_gcs(), space.ledger().bytes_max()), (0, 0));
        assert_eq!((space.memory().allocated, space.num_objects()), (0, 0));
    }
}
