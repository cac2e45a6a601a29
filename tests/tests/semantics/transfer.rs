//! Merging spaces: all objects of one become another's.

use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cspace::collector::{Batch, ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::probe::{Drops, Probe};
use crate::watchdog::{eventually, panic_of, within};

#[derive(IObject)]
struct Node<'gc> {
    value: u64,
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    probe: Static<Probe>,
}

type NodeRoot = GcRoot<Rootable![Node<'_>]>;

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

/// A ring of so many nodes, and the root of one.
fn ring(space: &CSpace, count: u64, drops: &Drops) -> NodeRoot {
    fn node<'gc>(
        cx: &Exclusive<'gc>,
        value: u64,
        next: Option<Gc<'gc, Node<'gc>>>,
        drops: &Drops,
    ) -> Gc<'gc, Node<'gc>> {
        cx.alloc(Node { value, next: Slot::new(next), probe: drops.probe() })
    }
    space.exclusive(|cx| {
        let first = node(cx, 0, None, drops);
        let mut last = first;
        for value in (1..count).rev() {
            last = node(cx, value, Some(last), drops);
        }
        first.next.set(cx, Some(last));
        cx.root(first)
    })
}

/// How many nodes are on the ring.
fn length<'gc>(cx: &impl Access<'gc>, first: Gc<'gc, Node<'gc>>) -> u64 {
    let (mut at, mut count) = (first, 0);
    loop {
        count += 1;
        at = at.next.get(cx).expect("a ring");
        if Gc::ptr_eq(at, first) {
            return count;
        }
    }
}

#[track_caller]
fn assert_clean(spaces: &[&CSpace]) {
    for space in spaces {
        let report = space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

fn begin(space: &Space) -> MarkPhase {
    MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER).unwrap()
}

/// A cycle of the space up to its batch.
fn condemn(space: &Space) -> Batch {
    let mut phase = begin(space);
    phase.mark().unwrap();
    phase.try_finish(Duration::from_secs(60)).ok().unwrap().condemn().unwrap().0
}

#[test]
fn objects_and_all_kinds_of_roots_belong_to_the_target() {
    let drops = Drops::new();
    let (target, source) = (manual(), manual());
    let kept = ring(&target, 3, &drops);
    let root = ring(&source, 10, &drops);
    let mut owned: OwnedRoot<Rootable![Vec<Gc<'_, Node<'_>>>]> =
        source.exclusive(|cx| cx.own_root(vec![root.get(cx)]));
    let weak: OwnedRoot<Rootable![GcWeak<'_, Node<'_>>]> =
        source.exclusive(|cx| cx.own_root(cx.downgrade(root.get(cx))));
    let lone = ring(&source, 5, &drops);
    source.exclusive(|cx| cx.add_gc_root(lone.get(cx)).unwrap());
    drop(ring(&source, 7, &drops));

    let report = target.transfer_from(&source).unwrap();
    assert_eq!(report.objects, 10 + 1 + 5 + 7);
    assert!(!report.sweep_under_way);
    assert_eq!((source.num_objects(), source.num_roots()), (0, 0));
    assert_eq!((target.num_objects(), target.num_roots()), (26, 3));
    assert_clean(&[&target, &source]);
    target.exclusive(|cx| {
        assert_eq!(length(cx, root.get(cx)), 10);
        assert_eq!(length(cx, kept.get(cx)), 3);
        assert!(Gc::ptr_eq(owned.get(cx)[0], root.get(cx)));
        assert!(Gc::ptr_eq(weak.get(cx).upgrade(cx).unwrap(), root.get(cx)));
        assert_eq!(cx.add_gc_root(lone.get(cx)), Err(RootError::AlreadyRoot));
        owned.get_mut(cx).push(kept.get(cx));
    });
    source.exclusive(|cx| assert_eq!(root.try_get(cx).err(), Some(WrongSpace)));
    assert!(panic_of(|| source.lock().scope_mut(&mut owned, |_, _| ())).contains("another space"));

    // What nothing keeps alive goes in the target's next collection, and only that.
    assert_eq!(target.collect().unwrap().objects_reclaimed, 7);
    assert_eq!(drops.count(), 7);
    drop((root, owned));
    assert_eq!(target.collect().unwrap().objects_reclaimed, 10);
    target.exclusive(|cx| assert!(weak.get(cx).is_dead(cx)));
    target.exclusive(|cx| cx.remove_gc_root(lone.get(cx)).unwrap());
    drop(lone);
    assert_eq!(target.collect().unwrap().objects_reclaimed, 5);
    assert_eq!(drops.count(), 22);
    assert_clean(&[&target, &source]);
    drop((target, kept));
    assert_eq!(drops.count(), 25);
}

#[test]
fn the_source_is_empty_and_usable() {
    let drops = Drops::new();
    let (target, source) = (manual(), manual());
    let moved = ring(&source, 4, &drops);
    target.transfer_from(&source).unwrap();
    let fresh = ring(&source, 6, &drops);
    source.shared(|cx| {
        assert_eq!(length(cx, fresh.get(cx)), 6);
        assert!(moved.try_get(cx).is_err());
    });
    target.shared(|cx| assert!(fresh.try_get(cx).is_err()));
    assert_eq!(source.collect().unwrap().objects_live, 6);
    assert_eq!(target.collect().unwrap().objects_live, 4);
    // And again, with handles of the first time about.
    target.transfer_from(&source).unwrap();
    target.shared(|cx| assert_eq!(length(cx, fresh.get(cx)) + length(cx, moved.get(cx)), 10));
    assert_clean(&[&target, &source]);
    drop((source, target, fresh, moved));
    assert_eq!(drops.count(), 10);
}

#[test]
fn handles_follow_through_a_row_of_merges_and_outlive_the_last_space() {
    let drops = Drops::new();
    let spaces: Vec<_> = (0..20).map(|_| manual()).collect();
    let roots: Vec<_> = spaces.iter().map(|space| ring(space, 3, &drops)).collect();
    let owned: OwnedRoot<Rootable![Vec<Gc<'_, Node<'_>>>]> =
        spaces[0].exclusive(|cx| cx.own_root(vec![roots[0].get(cx)]));
    for pair in spaces.windows(2) {
        pair[1].transfer_from(&pair[0]).unwrap();
    }
    let last = spaces.last().unwrap().clone();
    last.shared(|cx| {
        assert!(roots.iter().all(|root| length(cx, root.get(cx)) == 3));
        assert_eq!(length(cx, owned.get(cx)[0]), 3);
    });
    spaces[7].shared(|cx| assert!(roots[3].try_get(cx).is_err()));
    assert_eq!(last.num_roots(), 20);
    for _ in 0..3 {
        last.collect().unwrap();
        assert_clean(&[&last]);
    }
    drop((spaces, last));
    assert_eq!(drops.count(), 60);
    manual().shared(|cx| assert!(roots[5].try_get(cx).is_err()));
    drop((roots, owned));
}

#[test]
fn a_merge_that_makes_no_sense_is_an_error_and_changes_nothing() {
    within(|| {
        let drops = Drops::new();
        let (target, source, third) = (manual(), manual(), manual());
        let root = ring(&source, 5, &drops);
        assert!(matches!(source.transfer_from(&source), Err(TransferError::SameSpace { .. })));
        assert_eq!(
            target.exclusive(|_| target.transfer_from(&source)),
            Err(TransferError::HoldsSpace)
        );
        assert_eq!(
            source.shared(|_| target.transfer_from(&source)),
            Err(TransferError::HoldsSpace)
        );
        assert_eq!(third.shared(|_| target.transfer_from(&source)), Err(TransferError::HoldsSpace));
        let mut lock = source.lock();
        // Given up for a while is not held.
        assert!(lock.unlocked(|| third.transfer_from(&target)).is_ok());
        drop(lock);
        let small = CSpace::builder().max_heap_bytes(100).gc(GcMode::Manual).build().unwrap();
        let error = small.transfer_from(&source).unwrap_err();
        assert!(matches!(error, TransferError::HeapFull { limit: 100, .. }), "{error}");
        assert!(error.to_string().contains("max_heap_bytes"), "{error}");
        thread::scope(|threads| {
            let (tell, told) = channel();
            let (done, wait) = channel::<()>();
            let source = &source;
            threads.spawn(move || {
                source.shared(|_| {
                    tell.send(()).unwrap();
                    wait.recv().unwrap();
                });
            });
            told.recv().unwrap();
            let error = target.try_transfer_from(source).unwrap_err();
            assert!(matches!(error, TransferError::Lock(LockError::WouldBlock { .. })), "{error}");
            done.send(()).unwrap();
        });
        source.shared(|cx| assert_eq!(length(cx, root.get(cx)), 5));
        assert_eq!((source.num_objects(), target.num_objects()), (5, 0));
        assert_clean(&[&source, &target, &third, &small]);
    });
}

#[test]
fn a_poisoned_or_leaked_space_is_not_merged() {
    within(|| {
        let drops = Drops::new();
        let (target, source) = (manual(), manual());
        let root = ring(&source, 5, &drops);
        panic_of(|| source.exclusive(|_| panic!("poison")));
        let poisoned = target.transfer_from(&source).unwrap_err();
        assert!(matches!(poisoned, TransferError::Lock(LockError::Poisoned { .. })), "{poisoned}");
        let poisoned = source.transfer_from(&target).unwrap_err();
        assert!(matches!(poisoned, TransferError::Lock(LockError::Poisoned { .. })), "{poisoned}");
        source.clear_poison();
        source.shared(|cx| assert_eq!(length(cx, root.get(cx)), 5));
        let leaking = target.clone();
        thread::spawn(move || std::mem::forget(leaking.lock())).join().unwrap();
        let leaked = target.transfer_from(&source).unwrap_err();
        assert!(matches!(leaked, TransferError::Lock(LockError::LockLeaked { .. })), "{leaked}");
        source.shared(|cx| assert_eq!(length(cx, root.get(cx)), 5));
    });
}

#[test]
fn a_mark_of_either_side_is_waited_for() {
    let (target, source) = (manual(), manual());
    for marking in [&target, &source] {
        let phase = begin(marking);
        thread::scope(|threads| {
            let error = threads.spawn(|| target.try_transfer_from(&source).unwrap_err()).join();
            let error = error.unwrap();
            assert!(matches!(error, TransferError::Lock(LockError::WouldBlock { .. })), "{error}");
        });
        drop(phase);
    }
    target.transfer_from(&source).unwrap();
}

#[test]
fn a_sweep_of_the_source_is_not_waited_for_and_ends_in_the_target() {
    let (kept, dead): (usize, usize) = if cfg!(miri) { (50, 30) } else { (500, 300) };
    let drops = Drops::new();
    let (target, source) = (manual(), manual());
    let root = ring(&source, kept as u64, &drops);
    drop(ring(&source, dead as u64, &drops));
    let batch = condemn(&source);
    let report = target.transfer_from(&source).unwrap();
    assert!(report.sweep_under_way);
    // The objects that are being swept are the target's: its next cycle waits, the source's does not.
    assert!(target.try_claim_cycle().is_none());
    let fresh = ring(&source, 20, &drops);
    assert_eq!(source.collect().unwrap().objects_live, 20);
    target.shared(|cx| assert_eq!(length(cx, root.get(cx)), kept as u64));
    assert_eq!(batch.reclaim().unwrap_or_else(|_| panic!("holds nothing")).objects_reclaimed, dead);
    assert_eq!(drops.count(), dead);
    assert_eq!(target.num_objects(), kept);
    assert_clean(&[&target, &source]);
    assert_eq!(source.memory().live + target.memory().live, (kept + 20) * 32);
    let report = target.collect().unwrap();
    assert_eq!((report.objects_live, report.objects_reclaimed), (kept, 0));
    assert_clean(&[&target]);
    drop((root, fresh));
    assert_eq!(target.collect().unwrap().objects_reclaimed, kept);
    assert_eq!(target.memory().live, 0);
    drop(source);
    assert_eq!(drops.count(), kept + dead + 20);
}

#[test]
fn a_batch_goes_along_through_further_merges_and_keeps_its_space_alive() {
    let drops = Drops::new();
    let (first, second, third) = (manual(), manual(), manual());
    let root = ring(&first, 100, &drops);
    drop(ring(&first, 50, &drops));
    drop(ring(&second, 30, &drops));
    let (of_first, of_second) = (condemn(&first), condemn(&second));
    assert!(second.transfer_from(&first).unwrap().sweep_under_way);
    assert!(third.transfer_from(&second).unwrap().sweep_under_way);
    assert!(first.try_claim_cycle().is_some() && second.try_claim_cycle().is_some());
    let watched = third.downgrade();
    drop((first, second, third));
    assert!(watched.upgrade().is_some(), "its objects are being swept");
    let third = watched.upgrade().unwrap();
    drop(of_first.reclaim());
    assert!(third.try_claim_cycle().is_none(), "the other batch is out");
    drop(of_second.reclaim());
    assert_eq!(drops.count(), 80);
    assert_clean(&[&third]);
    third.shared(|cx| assert_eq!(length(cx, root.get(cx)), 100));
    drop(third);
    assert!(watched.upgrade().is_none());
    assert_eq!(drops.count(), 180);
}

#[test]
fn a_claim_that_has_not_begun_is_stale_after_a_merge() {
    let (target, source) = (manual(), manual());
    let claim = source.try_claim_cycle().unwrap();
    target.transfer_from(&source).unwrap();
    assert!(target.try_claim_cycle().is_some(), "no batch came along");
    let again = source.try_claim_cycle().expect("the source has a claim of its own again");
    let error = MarkPhase::begin(claim, LockWait::FOREVER).err().unwrap();
    assert!(matches!(error, CollectError::Transferred { .. }), "{error}");
    MarkPhase::begin(again, LockWait::FOREVER).unwrap().mark().unwrap();
    assert!(source.collect().is_ok());
}

/// The cycle of a target that had claimed it before the merge marked beside the sweep of what came with it.
#[test]
fn a_claim_of_the_target_is_stale_if_a_batch_came_with_the_merge() {
    let drops = Drops::new();
    let (target, source) = (manual(), manual());
    let root = ring(&source, 100, &drops);
    drop(ring(&source, 100, &drops));
    let batch = condemn(&source);
    let claim = target.try_claim_cycle().unwrap();
    assert!(target.transfer_from(&source).unwrap().sweep_under_way);
    let error = MarkPhase::begin(claim, LockWait::FOREVER).err().unwrap();
    assert!(matches!(error, CollectError::Transferred { .. }), "{error}");
    assert!(target.try_claim_cycle().is_none());
    drop(batch.reclaim());
    assert_eq!(target.collect().unwrap().objects_live, 100);
    assert_clean(&[&target]);
    drop(root);
}

#[test]
fn an_interned_string_is_found_after_its_set_was_merged_during_a_sweep() {
    type Set = Rootable![WeakSet<'_, String>];
    const COUNT: u64 = if cfg!(miri) { 10 } else { 100 };
    let (target, source) = (manual(), manual());
    let set: OwnedRoot<Set> = source.exclusive(|cx| {
        let mut set = WeakSet::new();
        for i in 0..COUNT {
            let text = cx.alloc(i.to_string());
            set.insert(cx, i, text);
            if i % 2 == 0 {
                cx.add_gc_root(text).unwrap();
            }
        }
        cx.own_root(set)
    });
    let batch = condemn(&source);
    target.transfer_from(&source).unwrap();
    let look = || {
        target.shared(|cx| {
            for i in 0..COUNT {
                let found = set.get(cx).find(i, |text| **text == i.to_string());
                assert_eq!(found.is_some(), i % 2 == 0, "{i}");
            }
        });
    };
    look();
    drop(batch.reclaim());
    look();
    target.collect().unwrap();
    look();
}

#[test]
#[cfg_attr(miri, ignore = "an object of 3 MiB made byte by byte")]
fn large_objects_and_types_that_the_target_never_had_move_too() {
    let (target, source) = (manual(), manual());
    let (small, run, mapping) = source.exclusive(|cx| {
        let small = cx.alloc_slice(50, |i| (i as u64, i as u32));
        (
            cx.root(small),
            cx.root(cx.alloc_slice(40_000, |i| i as u8)),
            cx.root(cx.alloc_slice(3 << 20, |i| i as u8)),
        )
    });
    target.transfer_from(&source).unwrap();
    for _ in 0..2 {
        assert_eq!(target.collect().unwrap().objects_live, 3);
        assert_clean(&[&target, &source]);
    }
    target.exclusive(|cx| {
        assert_eq!(
            (
                small.get(cx).elems()[49],
                run.get(cx).elems()[300],
                mapping.get(cx).elems()[(2 << 20) + 3]
            ),
            ((49, 49), 44, 3)
        );
        cx.alloc_slice(10, |i| (i as u64, i as u32));
    });
    drop((run, mapping));
    assert_eq!(target.collect().unwrap().objects_reclaimed, 3);
    assert_eq!(target.collect().unwrap().objects_live, 1);
}

#[test]
fn counts_and_statistics_move_and_the_number_of_collections_stays() {
    let drops = Drops::new();
    let (target, source) = (manual(), manual());
    drop(ring(&source, 100, &drops));
    source.collect().unwrap();
    let kept = ring(&source, 64, &drops);
    source.collect().unwrap();
    let before = source.memory();
    target.transfer_from(&source).unwrap();
    let (after, left) = (target.memory(), source.memory());
    assert_eq!((after.live, after.allocated), (before.live, before.allocated));
    assert_eq!((after.committed, left.committed), (before.committed, 0));
    assert_eq!((left.live, left.allocated), (0, 0));
    assert_eq!(target.stats().objects_reclaimed, 100);
    assert_eq!((target.stats().cycles, source.stats().cycles), (2, 0));
    assert_eq!(target.total_num_completed_gcs(), 0);
    assert_eq!(source.total_num_completed_gcs(), 2);
    drop(kept);
}

#[test]
#[cfg_attr(miri, ignore = "200,000 objects")]
fn a_target_that_passes_its_budget_collects() {
    let target = CSpace::builder().gc(GcMode::Safepoints).build().unwrap();
    let source = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    source.exclusive(|cx| {
        for _ in 0..200_000 {
            cx.alloc([0u64; 8]);
        }
    });
    target.transfer_from(&source).unwrap();
    target.exclusive(|_| ());
    assert_eq!((target.total_num_completed_gcs(), target.num_objects()), (1, 0));
}

#[test]
#[cfg_attr(miri, ignore = "2,000 objects")]
fn a_drop_may_merge_the_space_that_is_being_swept() {
    within(|| {
        struct Merges(WeakCSpace, CSpace);
        impl Drop for Merges {
            fn drop(&mut self) {
                let source = self.0.upgrade().expect("the sweep keeps it");
                assert!(self.1.transfer_from(&source).unwrap().sweep_under_way);
            }
        }
        let drops = Drops::new();
        let (target, source) = (manual(), manual());
        let root = ring(&source, 1000, &drops);
        drop(ring(&source, 1000, &drops));
        source.exclusive(|cx| {
            cx.alloc(Static(Merges(source.downgrade(), target.clone())));
        });
        source.collect().unwrap();
        assert_eq!((source.num_objects(), target.num_objects()), (0, 1000));
        target.shared(|cx| assert_eq!(length(cx, root.get(cx)), 1000));
        assert_clean(&[&target, &source]);
        target.collect().unwrap();
        assert_clean(&[&target]);
        assert_eq!(drops.count(), 1000);
    });
}

#[test]
fn slots_and_callbacks_stay_with_their_space() {
    static NAME: PtrSlot<String> = PtrSlot::new();
    let (target, source) = (manual(), manual());
    source.exclusive(|cx| cx.set_ptr_slot(&NAME, "source".to_string()));
    target.transfer_from(&source).unwrap();
    source.shared(|cx| assert_eq!(cx.ptr_slot(&NAME).unwrap(), "source"));
    target.shared(|cx| assert!(cx.ptr_slot(&NAME).is_none()));
}

#[test]
fn a_deferred_batch_of_the_source_ends_in_the_target() {
    let drops = Drops::new();
    let (outer, target, source) = (manual(), manual(), manual());
    drop(ring(&source, 100, &drops));
    let kept = ring(&source, 10, &drops);
    let merged = Arc::new(std::sync::Mutex::new(None));
    outer.exclusive(|_| {
        assert!(source.collect().unwrap().sweep_deferred);
        thread::scope(|threads| {
            threads.spawn(|| {
                *merged.lock().unwrap() = Some(target.transfer_from(&source).unwrap());
            });
        });
    });
    assert!(merged.lock().unwrap().as_ref().unwrap().sweep_under_way);
    eventually(|| drops.count() == 100);
    target.shared(|cx| assert_eq!(length(cx, kept.get(cx)), 10));
    target.collect().unwrap();
    assert_clean(&[&target]);
}

/// Handles of spaces that are merged at random are found in the space that has their objects, and in no other.
#[test]
fn handles_find_their_space_through_any_merges() {
    type Owned = OwnedRoot<Rootable![Vec<Gc<'_, u64>>]>;
    let spaces: Vec<_> = (0..5).map(|_| manual()).collect();
    let mut handles: Vec<(GcRoot<u64>, Option<Owned>, u64, usize)> = Vec::new();
    let mut random = 1u64;
    let mut below = move |n: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    for step in 0..if cfg!(miri) { 60 } else { 3000 } {
        let (at, other) = (below(5) as usize, below(5) as usize);
        match below(8) {
            0..=2 => {
                let (root, owned) = spaces[at].exclusive(|cx| {
                    let object = cx.alloc(step);
                    let owned = (step % 3 == 0).then(|| cx.own_root(vec![object]));
                    (cx.root(object), owned)
                });
                handles.push((root, owned, step, at));
            }
            3 if !handles.is_empty() => {
                let gone = below(handles.len() as u64) as usize;
                drop(handles.swap_remove(gone));
            }
            4..=6 if at != other => {
                spaces[at].transfer_from(&spaces[other]).unwrap();
                let moved = handles.iter_mut().filter(|handle| handle.3 == other);
                moved.for_each(|handle| handle.3 = at);
            }
            7 => _ = spaces[at].collect().unwrap(),
            _ => {}
        }
        // Now and then, so that some are looked for after many merges, and after cycles or before.
        if below(4) == 0 {
            spaces[other].shared(|cx| {
                for (root, owned, value, space) in &handles {
                    let found = root.try_get(cx).ok();
                    assert_eq!(found.map(|object| *object), (*space == other).then_some(*value));
                    if let Some(owned) = owned {
                        let found = owned.try_get(cx).ok().map(|objects| *objects[0]);
                        assert_eq!(found, (*space == other).then_some(*value));
                    }
                }
            });
            let count = handles.iter().filter(|handle| handle.3 == other).count();
            assert_eq!(spaces[other].num_roots(), count);
        }
    }
    assert_clean(&spaces.iter().collect::<Vec<_>>());
}

/// Cleaners that came along with merges, before and after the batch that put some back.
#[test]
fn cleaners_of_one_object_run_in_order_through_merges() {
    let (tell, told) = channel();
    let (first, second) = (manual(), manual());
    let root = first.exclusive(|cx| cx.root(cx.alloc(1u64)));
    let register = |space: &CSpace, number: u32| {
        let tell = tell.clone();
        space.shared(|cx| {
            cx.register_cleaner(root.get(cx), move || tell.send(number).unwrap());
        });
    };
    (1..=2).for_each(|number| register(&first, number));
    let batch = condemn(&first);
    (3..=4).for_each(|number| register(&first, number));
    second.transfer_from(&first).unwrap();
    register(&second, 5);
    drop(batch.reclaim());
    register(&second, 6);
    assert_clean(&[&first, &second]);
    first.transfer_from(&second).unwrap();
    register(&first, 7);
    drop(root);
    assert_eq!(first.collect().unwrap().cleaners_run, 7);
    assert!(told.try_iter().eq(1..=7));
}
