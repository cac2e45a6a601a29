//! The ledger: one account of all memory of a space, its limits, and what is done when it is full.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cspace::collector::ForCollectors;
use cspace::*;

use crate::probe::manual;
use crate::watchdog::{eventually, within};

const MIB: usize = 1 << 20;

/// An object that holds `bytes` outside of the heap.
fn holder<'gc>(cx: &Exclusive<'gc>, bytes: usize) -> Result<Gc<'gc, Static<Charge>>, MemoryFull> {
    Ok(cx.alloc(Static(cx.ledger().try_charge(Category::Buffers, bytes)?)))
}

/// An evictable object that holds a MiB outside of the heap.
fn page(cx: &Exclusive<'_>) -> EvictableRoot<Static<Charge>> {
    let page = cx.evictable_root(holder(cx, MIB).unwrap());
    page.evictable(cx).set_size_bytes(cx, MIB);
    page
}

fn never(_: Duration) {
    panic!("nobody was to wait");
}

#[test]
fn charges_are_counted_by_category_until_they_are_dropped() {
    for ledger in [Ledger::default(), manual().ledger()] {
        let mut first = ledger.try_charge_with_capacity(Category::Buffers, 4096, 100).unwrap();
        let second = ledger.try_charge(Category::Arenas, 50).unwrap();
        let account = ledger.account(Category::Buffers);
        assert_eq!(
            (account.count, account.capacity, account.bytes, account.bytes_max),
            (1, 100, 4096, 4096)
        );
        assert_eq!((ledger.charged(), ledger.bytes(), ledger.bytes_max()), (4146, 4146, 4146));
        drop(second);
        assert_eq!(ledger.account(Category::Arenas).bytes, 0);
        assert_eq!(ledger.account(Category::Arenas).bytes_max, 50);
        first.try_grow(4).unwrap();
        assert_eq!((first.bytes(), first.capacity()), (4100, 104));
        first.shrink(1000);
        assert_eq!((first.bytes(), first.capacity(), ledger.charged()), (3100, 0, 3100));
        assert_eq!(ledger.account(Category::Buffers).count, 1);
        drop(first);
        assert_eq!((ledger.charged(), ledger.bytes_max()), (0, 4146));
        for category in Category::ALL {
            let account = ledger.account(category);
            assert_eq!((account.count, account.capacity, account.bytes), (0, 0, 0), "{category}");
        }
    }
}

#[test]
#[should_panic(expected = "11 bytes of a charge of 10 cannot be given back")]
fn more_than_is_charged_cannot_be_given_back() {
    Ledger::default().try_charge(Category::Maps, 10).unwrap().shrink(11);
}

#[test]
fn a_category_has_a_limit_for_capacity_and_the_space_one_for_bytes() {
    let ledger = manual().ledger();
    ledger.set_category_limit(Category::Buffers, Some(100));
    ledger.set_limit(Some(10_000));
    let buffer = ledger.try_charge_with_capacity(Category::Buffers, 8192, 100).unwrap();
    let full = ledger.try_charge(Category::Buffers, 1).unwrap_err();
    assert!(full.is_of_category);
    assert_eq!((full.requested, full.used, full.limit), (1, 100, 100));
    assert_eq!(
        full.to_string(),
        "1 bytes more for buffers would pass the limit of 100 bytes for them (100 in use); \
         let go of some, collect outside of accesses, and try again, or raise the limit"
    );
    let mut map = ledger.try_charge(Category::Maps, 1808).unwrap();
    let full = ledger.try_charge(Category::Maps, 1).unwrap_err();
    assert_eq!((full.is_of_category, full.used, full.limit), (false, 10_000, 10_000));
    assert!(full.to_string().contains("10000 bytes for all memory of the space (10000 in use)"));
    assert_eq!(map.try_grow(1).unwrap_err(), full);
    assert_eq!((map.bytes(), ledger.account(Category::Maps).bytes), (1808, 1808));
    drop(buffer);
    map.try_grow(8192).unwrap();
    ledger.set_limit(None);
    assert_eq!((ledger.limit(), ledger.category_limit(Category::Buffers)), (None, Some(100)));
    drop(ledger.try_charge(Category::Maps, 1 << 40).unwrap());
}

#[test]
fn sums_that_overflow_are_full_not_small() {
    let ledger = Ledger::default();
    let _half = ledger.try_charge(Category::Maps, usize::MAX / 2 + 1).unwrap();
    assert!(ledger.try_charge(Category::Maps, usize::MAX / 2 + 1).is_err());
    assert!(ledger.try_charge_with_capacity(Category::Maps, 0, usize::MAX / 2 + 1).is_err());
    assert!(ledger.try_charge(Category::Maps, usize::MAX).is_err());
    // Reports cannot fail. All is known, whatever can be said of it.
    assert_eq!(ledger.report_external_bytes(isize::MAX), usize::MAX / 2);
    assert_eq!(ledger.report_external_bytes(isize::MAX), usize::MAX - 1);
    assert_eq!(ledger.report_external_bytes(isize::MAX), usize::MAX);
    assert_eq!((ledger.charged(), ledger.bytes()), (usize::MAX, usize::MAX));
    for _ in 0..2 {
        ledger.report_external_bytes(-isize::MAX);
    }
    assert_eq!(ledger.report_external_bytes(0), usize::MAX / 2);
    ledger.report_external_bytes(-isize::MAX);
    assert_eq!(ledger.charged(), usize::MAX / 2 + 1);
}

#[test]
fn the_limit_is_for_objects_and_charges_together() {
    let space = CSpace::builder().gc(GcMode::Manual).memory_limit(MIB).build().unwrap();
    let ledger = space.ledger();
    assert_eq!(ledger.limit(), Some(MIB));
    let charge = ledger.try_charge(Category::Maps, MIB / 2).unwrap();
    let mut cells = 0;
    let full = space.exclusive(|cx| {
        let full = loop {
            match cx.try_alloc([0u8; 1000]) {
                Ok(_) => cells += 1,
                Err(full) => break full.cause,
            }
        };
        // Objects leave no room for charges either.
        assert_eq!(ledger.bytes(), ledger.charged() + ledger.objects().bytes);
        assert!(ledger.try_charge(Category::Maps, MIB / 2).is_err());
        full
    });
    let HeapFullCause::Memory { limit, used } = full.cause else { panic!("{full}") };
    assert_eq!(limit, MIB);
    assert!(used <= MIB && used + full.requested > MIB, "{full}");
    assert!(full.to_string().contains("would pass its limit of 1048576 bytes"), "{full}");
    assert!(cells > 300 && cells < 600, "{cells}");
    drop(charge);
    space.exclusive(|cx| assert!(cx.try_alloc([0u8; 1000]).is_ok()));
    space.collect().unwrap();
    assert!(ledger.objects().bytes < MIB / 4);
    assert!(ledger.objects().bytes_max > MIB / 4, "the finish has noted it: {ledger}");
    assert!(ledger.bytes_max() > MIB / 2 + MIB / 4 && ledger.bytes_max() <= MIB, "{ledger}");
}

#[test]
#[cfg_attr(miri, ignore = "1,000 charges")]
fn charges_count_towards_the_next_collection() {
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let mut lock = space.lock();
    for _ in 0..1000 {
        lock.scope(|cx| _ = holder(cx, MIB));
        lock.safepoint();
        assert!(space.ledger().charged() <= 64 * MIB, "{}", space.ledger());
    }
    drop(lock);
    let cycles = space.total_num_completed_gcs();
    assert!((10..=500).contains(&cycles), "{cycles}");
    space.collect().unwrap();
    assert_eq!(space.ledger().charged(), 0);
    assert_eq!(space.memory().charged, 0);
}

#[test]
#[cfg_attr(miri, ignore = "200 rounds of 1,000 objects")]
fn what_is_charged_and_alive_is_no_reason_to_collect_again_and_again() {
    let space = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let _map = space.ledger().try_charge(Category::Maps, 1000 * MIB).unwrap();
    let mut lock = space.lock();
    lock.scope(|_| ());
    lock.safepoint();
    let cycles = space.total_num_completed_gcs();
    for _ in 0..200 {
        lock.scope(|cx| _ = holder(cx, MIB));
        lock.safepoint();
    }
    assert_eq!(space.total_num_completed_gcs(), cycles, "a thousand MiB are the budget now");
}

#[test]
fn a_worker_that_sleeps_is_woken_by_charges() {
    within(|| {
        let space = CSpace::builder().gc_period(Duration::from_millis(1)).build().unwrap();
        // After some periods without allocation it sleeps until there is one.
        thread::sleep(Duration::from_millis(20));
        let cycles = space.total_num_completed_gcs();
        let _charge = space.ledger().try_charge(Category::Maps, 8 * MIB).unwrap();
        eventually(|| space.total_num_completed_gcs() > cycles);
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 charges with a collection each")]
fn charging_outside_of_an_access_collects_what_is_in_the_way() {
    let space = manual();
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Buffers, Some(100));
    for _ in 0..10_000 {
        // A hundredth of all: each is garbage at once.
        let charge = ledger.charge(Category::Buffers, 1, 1, never).unwrap();
        space.exclusive(|cx| _ = cx.alloc(Static(charge)));
    }
    assert_eq!(ledger.account(Category::Buffers).bytes_max, 100);
}

#[test]
fn a_ledger_that_stays_full_is_waited_for_in_nine_doubling_steps() {
    let space = manual();
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Buffers, Some(100));
    let kept = ledger.try_charge(Category::Buffers, 60).unwrap();
    let mut waits = Vec::new();
    let before = space.total_num_completed_gcs();
    let full = ledger.charge(Category::Buffers, 60, 60, |time| waits.push(time)).unwrap_err();
    assert_eq!((full.requested, full.used, full.limit), (60, 60, 100));
    let waits: Vec<_> = waits.iter().map(Duration::as_millis).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    assert_eq!(space.total_num_completed_gcs(), before + 3);
    // Let go of by somebody else during a wait.
    let mut kept = Some(kept);
    let mut waits = 0;
    let wait = |_| {
        waits += 1;
        if waits == 3 {
            kept = None;
        }
    };
    assert!(ledger.charge(Category::Buffers, 60, 60, wait).is_ok());
    assert_eq!(waits, 3);
}

#[test]
fn nobody_waits_for_what_cannot_come() {
    let space = manual();
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Buffers, Some(100));
    assert!(ledger.charge(Category::Buffers, 101, 101, never).is_err(), "more than the limit");
    let _kept = ledger.try_charge(Category::Buffers, 60).unwrap();
    space.exclusive(|_| {
        assert!(ledger.charge(Category::Buffers, 60, 60, never).is_err(), "within an access");
    });
    assert!(space.ledger().charge(Category::Buffers, 40, 40, never).is_ok());
    // Without a collector only others can help.
    let space = CSpace::builder().gc(GcMode::Off).build().unwrap();
    space.ledger().set_limit(Some(100));
    let _kept = space.ledger().try_charge(Category::Buffers, 60).unwrap();
    let mut waits = 0;
    assert!(space.ledger().charge(Category::Buffers, 60, 60, |_| waits += 1).is_err());
    assert_eq!(waits, 9);
}

#[test]
fn a_charge_that_does_not_fit_evicts_as_much() {
    let space = manual();
    let ledger = space.ledger();
    let pages: Vec<_> = (0..8).map(|_| space.exclusive(|cx| page(cx))).collect();
    ledger.set_limit(Some(ledger.bytes() + MIB / 2));
    let charge = ledger.charge(Category::Maps, 2 * MIB, 2 * MIB, never).unwrap();
    let left = space.exclusive(|cx| pages.iter().filter(|page| page.peek(cx).is_some()).count());
    assert!((5..=6).contains(&left), "{left}");
    drop(charge);
    assert_eq!(ledger.account(Category::Maps).count, 0);
}

#[test]
#[cfg_attr(miri, ignore = "1,000 objects of 1 MiB charges")]
fn over_the_soft_limit_evictable_objects_give_way_and_nothing_fails() {
    let space = CSpace::builder().gc(GcMode::Safepoints).memory_soft_limit(4 * MIB).build();
    let space = space.unwrap();
    assert_eq!(space.ledger().soft_limit(), Some(4 * MIB));
    let mut pages = Vec::new();
    let mut lock = space.lock();
    for _ in 0..64 {
        pages.push(lock.scope(|cx| page(cx)));
        lock.safepoint();
    }
    drop(lock);
    space.collect().unwrap();
    assert!(space.ledger().charged() <= 5 * MIB, "{}", space.ledger());
    assert!(space.ledger().bytes_max() <= 8 * MIB, "{}", space.ledger());
    // One that nothing gives way to is passed, and not collected for all the time.
    let cycles = space.total_num_completed_gcs();
    let _map = space.ledger().try_charge(Category::Maps, 100 * MIB).unwrap();
    for _ in 0..1000 {
        let _more = space.ledger().try_charge(Category::Maps, 1).unwrap();
        space.exclusive(|cx| _ = cx.alloc(1u64));
    }
    assert!(space.total_num_completed_gcs() <= cycles + 2);
}

#[test]
fn a_merge_that_passes_the_soft_limit_evicts_what_is_over() {
    for mode in [GcMode::Worker, GcMode::Safepoints] {
        let space = CSpace::builder().gc(mode).memory_soft_limit(MIB).build().unwrap();
        let request = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let _pages: Vec<_> = request.exclusive(|cx| {
            let page = |at| cx.evictable_root(cx.alloc_slice_copy(&[at as u8; 50_000]));
            (0..100).map(page).collect()
        });
        space.transfer_from(&request).unwrap();
        if mode == GcMode::Safepoints {
            space.exclusive(|_| ());
        }
        eventually(|| space.ledger().bytes() <= MIB);
        assert!(space.eviction_stats().objects_evicted > 0);
    }
}

#[test]
fn reports_of_the_embedder_are_counted_and_not_limited() {
    let space = manual();
    let ledger = space.ledger();
    ledger.set_limit(Some(1000));
    assert_eq!(ledger.report_external_bytes(600), 600);
    assert!(ledger.try_charge(Category::Maps, 401).is_err());
    let charge = ledger.try_charge(Category::External, 300).unwrap();
    assert_eq!(ledger.report_external_bytes(10_000), 10_600);
    assert_eq!(ledger.account(Category::External).bytes, 10_900);
    assert_eq!(ledger.report_external_bytes(-20_000), 0, "what is charged is not reported away");
    assert_eq!(ledger.account(Category::External).bytes, 300);
    drop(charge);
    assert_eq!((ledger.bytes(), ledger.account(Category::External).capacity), (0, 0));
    ledger.report_external_bytes(1 << 40);
    assert!(space.wants_collection(), "it counts towards the next one");
}

#[test]
fn charges_move_with_the_objects_and_the_source_begins_anew() {
    let (source, target) = (manual(), manual());
    let before = source.ledger();
    let kept = source.exclusive(|cx| cx.root(holder(cx, 1000).unwrap()));
    before.report_external_bytes(5);
    before.set_category_limit(Category::Maps, Some(7));
    let outside = before.try_charge(Category::Arenas, 10).unwrap();
    let own = target.ledger().try_charge(Category::Arenas, 1).unwrap();
    target.transfer_from(&source).unwrap();
    assert_eq!((source.ledger().charged(), source.memory().charged), (0, 0));
    assert_eq!((target.ledger().charged(), target.memory().charged), (1016, 1016));
    assert_eq!(target.ledger().account(Category::Arenas).count, 2);
    // Handles from before are the target's; limits stay with each space.
    assert_eq!(before.charged(), 1016);
    assert_eq!(source.ledger().category_limit(Category::Maps), Some(7));
    assert_eq!(target.ledger().category_limit(Category::Maps), None);
    drop((outside, own));
    drop(kept);
    target.collect().unwrap();
    assert_eq!(target.ledger().charged(), 5);
    let _new = source.ledger().try_charge(Category::Arenas, 3).unwrap();
    target.transfer_from(&source).unwrap();
    assert_eq!(target.ledger().charged(), 8);
    source.transfer_from(&target).unwrap();
    assert_eq!((source.ledger().charged(), target.ledger().charged()), (8, 0));
    assert_eq!(before.report_external_bytes(-5), 0);
    assert_eq!(source.ledger().charged(), 3);
}

#[test]
fn a_merge_that_would_pass_the_targets_limit_is_an_error() {
    let (source, target) = (manual(), manual());
    let charge = source.ledger().try_charge(Category::Maps, 600).unwrap();
    let _own = target.ledger().try_charge(Category::Maps, 600).unwrap();
    target.ledger().set_limit(Some(1000));
    let refused = target.transfer_from(&source).unwrap_err();
    assert!(matches!(refused, TransferError::MemoryFull { needed: 1200, limit: 1000, .. }));
    assert_eq!((source.ledger().charged(), target.ledger().charged()), (600, 600));
    drop(charge);
    target.transfer_from(&source).unwrap();
}

#[test]
fn charges_outlive_their_space() {
    let space = manual();
    let ledger = space.ledger();
    let charge = ledger.try_charge(Category::Arenas, 1000).unwrap();
    space.exclusive(|cx| _ = holder(cx, 100).unwrap());
    ledger.set_limit(Some(1500));
    ledger.set_soft_limit(Some(1));
    drop(space);
    assert_eq!(ledger.charged(), 1000);
    assert!(ledger.charge(Category::Arenas, 1000, 1000, |_| ()).is_err());
    drop(charge);
    assert!(ledger.charge(Category::Arenas, 1000, 1000, never).is_ok());
    assert_eq!(ledger.bytes(), 0);
}

#[test]
fn threads_that_charge_never_pass_the_limit_together() {
    within(|| {
        const LIMIT: usize = 1000;
        let (a, b) = (manual(), manual());
        a.ledger().set_limit(Some(LIMIT));
        let (held, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let ledger = a.ledger();
                let (held, ends) = (Arc::clone(&held), Arc::clone(&ends));
                thread::spawn(move || {
                    let (mut fits, mut full) = (0, 0);
                    while !ends.load(SeqCst) || fits == 0 {
                        match ledger.try_charge(Category::ALL[i], 300) {
                            Ok(charge) => {
                                let all = held.fetch_add(300, SeqCst) + 300;
                                assert!(all <= LIMIT, "{all}");
                                held.fetch_sub(300, SeqCst);
                                drop(charge);
                                fits += 1;
                            }
                            Err(_) => full += 1,
                        }
                    }
                    (fits, full)
                })
            })
            .collect();
        // They are moved to and fro meanwhile; the other has the same limit.
        b.ledger().set_limit(Some(LIMIT));
        for _ in 0..if cfg!(miri) { 3 } else { 200 } {
            while b.transfer_from(&a).is_err() {}
            while a.transfer_from(&b).is_err() {}
        }
        ends.store(true, SeqCst);
        for thread in threads {
            assert!(thread.join().unwrap().0 > 0);
        }
        assert_eq!((a.ledger().bytes(), b.ledger().bytes()), (0, 0));
    });
}

#[test]
fn a_ledger_is_shown_as_a_table_of_what_is_in_use() {
    let space = manual();
    let ledger = space.ledger();
    let _charge = ledger.try_charge(Category::Buffers, 1234).unwrap();
    space.exclusive(|cx| _ = cx.alloc(1u64));
    let lines: Vec<String> = ledger.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("objects "), "{lines:?}");
    assert_eq!(lines[1], "buffers             1           1234           1234");
    assert!(lines[2].starts_with("all "), "{lines:?}");
}
