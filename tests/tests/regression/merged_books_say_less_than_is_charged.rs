//! Sums of merged ledgers stopped at the largest number, and charges took their whole amounts from that: a panic in a
//! drop, or nonsense.

use cspace::*;

fn space() -> Space {
    Space::builder().build().unwrap()
}

#[test]
fn each_charge_of_a_merged_ledger_is_given_back_as_it_was_made() {
    const LARGE: usize = usize::MAX / 4 * 3;
    let spaces = [space(), space(), space()];
    let charges = spaces.each_ref().map(|space| {
        let ledger = space.ledger();
        ledger.report_external_bytes(isize::MAX);
        let small = ledger.try_charge(Category::External, 1000).unwrap();
        (ledger.try_charge_with_capacity(Category::Maps, LARGE / 2, LARGE).unwrap(), small)
    });
    let target = &spaces[0];
    for source in &spaces[1..] {
        target.transfer_from(source).unwrap();
        assert_eq!(source.ledger().charged(), 0);
    }
    let ledger = target.ledger();
    assert_eq!((ledger.charged(), target.memory().charged), (usize::MAX, usize::MAX));
    assert_eq!(ledger.account(Category::Maps).capacity, usize::MAX);
    assert!(ledger.try_charge(Category::Buffers, 1).is_err(), "more cannot be said");
    for _ in 0..3 {
        ledger.report_external_bytes(-isize::MAX);
    }
    let mut left = 3;
    for (large, small) in charges {
        let account = ledger.account(Category::Maps);
        assert_eq!((account.count, account.bytes), (left, (LARGE / 2).saturating_mul(left)));
        drop(large);
        left -= 1;
        assert_eq!(ledger.account(Category::External).bytes, 1000 * (left + 1));
        drop(small);
    }
    assert_eq!((ledger.charged(), ledger.account(Category::Maps).capacity), (0, 0));
    drop(ledger.try_charge(Category::Buffers, usize::MAX).unwrap());
}

#[test]
fn a_limit_holds_for_what_cannot_be_said() {
    let (source, target) = (space(), space());
    let _charges = [&source, &target]
        .map(|space| space.ledger().try_charge(Category::Maps, usize::MAX - 10).unwrap());
    target.ledger().set_limit(Some(usize::MAX - 5));
    let refused = target.transfer_from(&source).unwrap_err();
    assert!(matches!(refused, TransferError::MemoryFull { needed: usize::MAX, .. }), "{refused}");
    assert_eq!(source.ledger().charged(), usize::MAX - 10);
}
