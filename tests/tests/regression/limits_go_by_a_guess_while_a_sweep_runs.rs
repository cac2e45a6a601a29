//! Between a finish and the end of its sweep what was alive was guessed by the share of objects that were: next to
//! nothing, where many small ones had died and a few large ones lived. The limits of the heap and of the ledger went by
//! that, and were passed.

use std::time::Duration;

use cspace::collector::{Batch, ForCollectors, LockWait, MarkPhase};
use cspace::*;

const MIB: usize = 1 << 20;

/// A cycle up to its batch.
fn condemn(space: &Space) -> Batch {
    let claim = space.try_claim_cycle().unwrap();
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    phase.mark().unwrap();
    phase.try_finish(Duration::from_secs(60)).ok().unwrap().condemn().unwrap().0
}

/// A space with 40 MiB that live in one object, and much small garbage.
fn with_large_object(space: &Space) -> GcRoot<Rootable![Slice<u8>]> {
    space.exclusive(|cx| {
        (0..100_000u64).for_each(|i| _ = cx.alloc(i));
        cx.root(cx.alloc_slice(40 * MIB, |_| 7u8))
    })
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects and 40 MiB byte by byte")]
fn what_the_sweep_has_not_freed_counts_until_it_has() {
    let heap = Space::builder().max_heap_bytes(64 * MIB).build().unwrap();
    let ledger = Space::builder().memory_limit(64 * MIB).build().unwrap();
    for space in [heap, ledger] {
        let _large = with_large_object(&space);
        let before = space.memory();
        let batch = condemn(&space);
        let between = space.memory();
        assert!(between.live > 40 * MIB && between.live <= between.allocated, "{between:?}");
        assert!(between.allocated <= before.allocated && between.committed >= between.allocated);
        assert_eq!(space.ledger().bytes(), between.allocated);
        assert_eq!(space.num_objects(), 1);
        space.exclusive(|cx| {
            assert!(cx.try_alloc_slice(24 * MIB, |_| 1u8).is_err());
            assert!(cx.try_alloc_slice(4 * MIB, |_| 1u8).is_ok(), "there is room for that");
        });
        batch.reclaim().ok().unwrap();
        let after = space.memory();
        assert!(after.live < 41 * MIB && after.live > 40 * MIB, "{after:?}");
        space.exclusive(|cx| assert!(cx.try_alloc_slice(18 * MIB, |_| 1u8).is_ok()));
        assert!(space.memory().allocated <= 64 * MIB);
    }
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects, and 40 MiB byte by byte")]
fn no_charge_fits_beside_what_is_alive_while_a_sweep_runs() {
    let space = Space::builder().memory_limit(64 * MIB).build().unwrap();
    let _large = with_large_object(&space);
    let ledger = space.ledger();
    assert!(ledger.try_charge(Category::External, 30 * MIB).is_err());
    let batch = condemn(&space);
    assert!(ledger.try_charge(Category::External, 30 * MIB).is_err());
    drop(ledger.try_charge(Category::External, 20 * MIB).unwrap());
    // Lowered meanwhile: nothing more fits.
    ledger.set_limit(Some(32 * MIB));
    assert!(ledger.try_charge(Category::External, 1).is_err());
    batch.reclaim().ok().unwrap();
    assert!(ledger.try_charge(Category::External, 1).is_err());
    ledger.set_limit(Some(64 * MIB));
    assert!(ledger.try_charge(Category::External, 23 * MIB).is_ok());
    assert!(ledger.bytes_max() <= 64 * MIB, "{ledger}");
}

/// The batch of a source frees at the target what was counted there at the merge.
#[test]
#[cfg_attr(miri, ignore = "100,000 objects, and 40 MiB byte by byte")]
fn a_merge_in_between_takes_along_what_is_not_freed() {
    let (source, target) = (Space::builder(), Space::builder().max_heap_bytes(64 * MIB));
    let (source, target) = (source.build().unwrap(), target.build().unwrap());
    let large = with_large_object(&source);
    let small = target.exclusive(|cx| cx.root(cx.alloc_slice(MIB, |_| 1u8)));
    let batch = condemn(&source);
    let counted = source.memory().allocated + target.memory().allocated;
    let report = target.transfer_from(&source).unwrap();
    assert!(report.sweep_under_way && report.bytes > 40 * MIB);
    assert_eq!((source.memory().allocated, source.memory().live), (0, 0));
    // The gap of the target's cursor is taken back.
    let between = target.memory();
    assert!(between.allocated <= counted && between.allocated > 41 * MIB, "{between:?}");
    target.exclusive(|cx| assert!(cx.try_alloc_slice(24 * MIB, |_| 1u8).is_err()));
    source.exclusive(|cx| _ = cx.alloc(1u64));
    batch.reclaim().ok().unwrap();
    let after = target.memory();
    assert!(after.allocated < between.allocated && after.allocated > 41 * MIB, "{after:?}");
    drop((large, small));
    for space in [&source, &target] {
        condemn(space).reclaim().ok().unwrap();
        assert_eq!((space.memory().allocated, space.memory().live, space.num_objects()), (0, 0, 0));
        assert!(space.verify().unwrap().is_clean());
    }
}
