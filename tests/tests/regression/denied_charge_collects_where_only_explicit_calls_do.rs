//! A charge that was denied, or passed the soft limit, was taken for a request: where only explicit calls collect, the
//! end of the access did, with the cleaners and drops of the dead on that thread.

use cspace::*;

use crate::watchdog::eventually;

#[test]
fn a_denied_charge_is_no_explicit_collection() {
    let space = CSpace::builder().gc(GcMode::Manual).memory_limit(1000).build().unwrap();
    let ledger = space.ledger();
    let _held = ledger.try_charge(Category::Maps, 900).unwrap();
    for _ in 0..10 {
        space.exclusive(|cx| assert!(cx.ledger().try_charge(Category::Maps, 200).is_err()));
        space.exclusive(|cx| assert!(cx.try_alloc(1u64).is_err()));
    }
    ledger.set_limit(None);
    ledger.set_soft_limit(Some(10));
    let _more = ledger.try_charge(Category::Maps, 200).unwrap();
    space.exclusive(|cx| cx.alloc(1u64).addr());
    assert_eq!(space.total_num_completed_gcs(), 0);
    // An explicit request is one.
    space.request_gc();
    space.exclusive(|_| ());
    assert_eq!(space.total_num_completed_gcs(), 1);
}

#[test]
fn whoever_runs_the_collections_that_are_due_is_told() {
    crate::within(60, || {
        for mode in [GcMode::Safepoints, GcMode::Worker] {
            let space = CSpace::builder().gc(mode).memory_limit(1 << 20).build().unwrap();
            let ledger = space.ledger();
            space.exclusive(|cx| {
                let charge = cx.ledger().try_charge(Category::Maps, 900 << 10).unwrap();
                cx.alloc(Static(charge));
                assert!(cx.ledger().try_charge(Category::Maps, 500 << 10).is_err());
            });
            let has_room = || ledger.account(Category::Maps).bytes == 0;
            match mode {
                GcMode::Safepoints => assert!(has_room(), "the end of the access was one"),
                _ => eventually(has_room),
            }
        }
    });
}
