//! A ledger said that there were as many objects as there were cells that allocation had been handed.

use cspace::*;

#[test]
#[cfg_attr(miri, ignore = "100,000 bytes, one by one")]
fn a_ledger_counts_the_objects_that_the_space_does() {
    let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let ledger = space.ledger();
    let agree = |count: usize| {
        assert_eq!((space.num_objects(), ledger.objects().count), (count, count));
        let line = ledger.to_string();
        assert_eq!(line.split_whitespace().nth(1), Some(count.to_string().as_str()), "{line}");
    };
    agree(0);
    let kept = space.exclusive(|cx| {
        cx.alloc(1u64);
        cx.alloc("text".to_string());
        assert_eq!((cx.num_objects(), ledger.objects().count), (2, 2), "within the access");
        cx.root(cx.alloc_slice(100_000, |_| 0u8))
    });
    agree(3);
    space.shared(|_| assert_eq!(ledger.objects().count, 3));
    space.collect().unwrap();
    agree(1);
    let target = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    target.transfer_from(&space).unwrap();
    assert_eq!((ledger.objects().count, target.num_objects(), space.num_objects()), (1, 1, 0));
    drop(kept);
    target.collect().unwrap();
    drop(target);
    let objects = ledger.objects();
    assert_eq!((objects.count, objects.bytes), (0, 0));
}

/// Whoever asks may hold what a writer waits for.
#[test]
fn nobody_waits_for_a_writer_to_count() {
    crate::within(60, || {
        let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        std::thread::scope(|threads| {
            space.exclusive(|cx| {
                cx.alloc(1u64);
                let count = threads.spawn(|| space.ledger().objects().count).join().unwrap();
                assert!(count >= 1, "no fewer than there are");
            });
        });
        assert_eq!(space.ledger().objects().count, 1);
    });
}
