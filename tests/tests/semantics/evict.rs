//! Evictable objects: which ones go, which ones stay, and what is seen of it meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cspace::collector::{
    Batch, Candidate, EvictionPolicy, Extent, ForCollectors, LockWait, MarkPhase, Reclaimed,
    Residents, Tally,
};
use cspace::*;

use crate::collect::PanicsOnVisit;
use crate::probe::Drops;
use crate::watchdog::{eventually, panic_of, within};

type Page = EvictableRoot<u64>;

fn space() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).build().unwrap()
}

/// Pages numbered from 0, each standing for `size` bytes, touched in that order.
fn pages(space: &Space, count: u64, size: usize) -> Vec<Page> {
    space.exclusive(|cx| {
        (0..count)
            .map(|number| {
                let page = cx.evictable_root(cx.alloc(number));
                page.evictable(cx).set_size_bytes(cx, size);
                page
            })
            .collect()
    })
}

/// The numbers of the pages that are there. Touches none.
fn kept(space: &Space, pages: &[Page]) -> Vec<u64> {
    space.shared(|cx| pages.iter().filter_map(|page| page.peek(cx)).map(|page| *page).collect())
}

/// Runs `f` on a thread of its own.
fn elsewhere<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|threads| threads.spawn(f).join().unwrap())
}

#[test]
fn without_a_threshold_all_are_kept_and_at_zero_none() {
    let space = space();
    assert_eq!((space.eviction_threshold(), space.max_evictable_objects()), (None, None));
    let all = pages(&space, 5, 1 << 40);
    space.exclusive(|cx| all[4].evictable(cx).set_size_bytes(cx, 0));
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 1, 2, 3, 4]);
    space.set_eviction_threshold(0);
    assert_eq!(space.eviction_threshold(), Some(0));
    let report = space.collect().unwrap();
    assert_eq!((report.objects_evicted, report.bytes_evicted), (5, 4 << 40));
    assert_eq!(kept(&space, &all), []);
    space.shared(|cx| {
        assert!(all.iter().all(|page| page.is_evicted(cx) && page.get(cx).is_none()));
        assert!(all.iter().all(|page| !page.set_touched(cx) && page.pin(cx).is_none()));
    });
    assert_eq!(space.num_objects(), 5, "the references themselves");
    assert!(space.verify().unwrap().is_clean());
    space.set_eviction_threshold(None);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [], "what went does not come back");
}

#[test]
fn the_least_recently_touched_go_until_the_threshold_holds() {
    let space = space();
    let all = pages(&space, 5, 10);
    space.set_eviction_threshold(50);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 1, 2, 3, 4], "exactly the threshold is within it");
    space.shared(|cx| {
        assert!(all[0].get(cx).is_some() && all[1].peek(cx).is_some());
        assert!(all[2].set_touched(cx) && !all[3].is_evicted(cx));
    });
    space.set_eviction_threshold(49);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 2, 3, 4], "1 was looked at, and not touched");
    space.set_eviction_threshold(21);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 2]);
}

#[test]
fn a_large_one_that_is_old_goes_alone_and_a_small_one_that_is_new_stays() {
    let space = space();
    let all = pages(&space, 4, 10);
    let resize = |number: usize, bytes| {
        space.shared(|cx| {
            let page = all[number].evictable(cx);
            page.set_evictable_object_size_in_bytes(cx, bytes);
            assert_eq!(page.size_bytes(cx), bytes);
        });
    };
    resize(0, 100);
    space.set_eviction_threshold(30);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [1, 2, 3]);
    resize(3, 31);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [1, 2], "the newest can never fit, and goes alone");
}

#[test]
fn a_number_of_objects_can_be_the_limit() {
    let space = CSpace::builder()
        .gc(GcMode::Manual)
        .max_evictable_objects(2)
        .eviction_threshold(25)
        .build()
        .unwrap();
    let all = pages(&space, 5, 10);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [3, 4]);
    space.set_max_evictable_objects(0);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), []);
}

#[test]
fn sizes_that_overflow_are_more_than_any_threshold() {
    let space = space();
    let all = pages(&space, 3, usize::MAX);
    space.set_eviction_threshold(usize::MAX - 1);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), []);
    let all = pages(&space, 3, usize::MAX);
    space.shared(|cx| all[2].evictable(cx).set_size_bytes(cx, 1));
    space.set_eviction_threshold(usize::MAX);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [2], "two together are more than there are bytes");
    let stats = space.eviction_stats();
    assert_eq!((stats.objects_resident, stats.bytes_resident), (1, 1));
    assert_eq!((stats.last_objects_evicted, stats.last_bytes_evicted), (2, usize::MAX));
    assert_eq!((stats.objects_evicted, stats.bytes_evicted), (5, u64::MAX));
}

#[test]
#[cfg_attr(miri, ignore = "a page of 100,000 bytes")]
fn the_default_size_is_what_the_object_takes_and_reports() {
    let space = space();
    space.exclusive(|cx| {
        assert_eq!(cx.evictable(cx.alloc(1u64)).size_bytes(cx), 16);
        assert_eq!(cx.evictable(cx.alloc([0u64; 5])).size_bytes(cx), 48);
        let owner = cx.evictable(cx.alloc(Vec::<u64>::with_capacity(100)));
        assert_eq!(owner.size_bytes(cx), 32 + 800);
        // A length and 1000 bytes, in the size class above.
        let bytes = cx.evictable(cx.alloc_slice_copy(&[0u8; 1000])).size_bytes(cx);
        assert!((1008..=1024).contains(&bytes), "{bytes}");
        assert_eq!(cx.evictable(cx.alloc_slice_copy(&[0u8; 100_000])).size_bytes(cx), 128 << 10);
        assert_eq!(cx.evictable_with_size(cx.alloc(1u64), 7).size_bytes(cx), 7);
    });
}

#[test]
fn what_something_else_holds_counts_and_stays() {
    let space = space();
    let all = pages(&space, 4, 10);
    let root = space.shared(|cx| cx.root(all[0].get(cx).unwrap()));
    let inner = space.exclusive(|cx| {
        let holder = cx.alloc(all[1].get(cx).unwrap());
        cx.root(holder)
    });
    space.shared(|cx| [2, 3].map(|number: usize| all[number].set_touched(cx)));
    space.set_eviction_threshold(30);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 1, 3], "2 is the oldest that can go");
    let stats = space.eviction_stats();
    assert_eq!((stats.objects_resident, stats.bytes_resident), (3, 30));
    assert_eq!((stats.objects_held, stats.bytes_held), (2, 20));
    space.set_eviction_threshold(5);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 1]);
    drop((root, inner));
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), []);
}

#[test]
fn a_pin_keeps_until_it_and_its_copies_are_dropped() {
    let space = space();
    let all = pages(&space, 2, 10);
    let pin = space.shared(|cx| all[0].pin(cx).unwrap());
    let copy = pin.clone();
    space.set_eviction_threshold(10);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0]);
    drop(pin);
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(*copy.get(cx), 0));
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0]);
    elsewhere(|| drop(copy));
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), []);
    let report = space.verify().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn pinning_touches() {
    let space = space();
    let all = pages(&space, 2, 10);
    space.shared(|cx| drop(all[0].evictable(cx).pin(cx)));
    space.set_eviction_threshold(10);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0]);
}

#[test]
fn the_references_to_an_object_are_one_entry() {
    let space = space();
    let (both, drops) = (Mutex::new(Vec::new()), Drops::new());
    space.exclusive(|cx| {
        let object = cx.alloc(drops.probe());
        let (one, other) = (cx.evictable_with_size(object, 9), cx.evictable_with_size(object, 10));
        assert!(Evictable::ptr_eq(one, one) && !Evictable::ptr_eq(one, other));
        both.lock().unwrap().push(cx.own_root(vec![one, one, other]));
    });
    let owned = both.into_inner().unwrap().pop().unwrap();
    space.set_eviction_threshold(10);
    space.collect().unwrap();
    let stats = space.eviction_stats();
    assert_eq!((stats.objects_resident, stats.bytes_resident, stats.objects_evicted), (1, 10, 0));
    // Held by something else it counts once too.
    let held = space.exclusive(|cx| cx.root(owned.get(cx)[0].get(cx).unwrap()));
    space.collect().unwrap();
    let stats = space.eviction_stats();
    assert_eq!((stats.objects_held, stats.bytes_held, stats.objects_resident), (1, 10, 1));
    drop(held);
    space.set_eviction_threshold(9);
    let report = space.collect().unwrap();
    assert_eq!((report.objects_evicted, report.bytes_evicted, drops.count()), (1, 10, 1));
    space.shared(|cx| assert!(owned.get(cx).iter().all(|page| page.is_evicted(cx))));
}

/// The oldest object is not that with the oldest reference.
#[test]
fn a_touch_of_one_reference_is_one_of_the_object() {
    let space = space();
    let (first, second) = space.exclusive(|cx| {
        let (first, second) = (cx.alloc(1u64), cx.alloc(2u64));
        let refs = [first, first].map(|page| cx.evictable_with_size(page, 10));
        let second = cx.evictable_with_size(second, 10);
        refs[1].set_touched(cx);
        (cx.own_root(refs), cx.own_root(second))
    });
    space.set_eviction_threshold(10);
    space.collect().unwrap();
    space.shared(|cx| {
        assert!(first.get(cx).iter().all(|page| page.peek(cx).is_some()));
        assert!(second.get(cx).is_evicted(cx));
    });
}

#[test]
fn who_rescues_a_victim_by_one_reference_rescues_all_of_its_references() {
    for deliver in [false, true] {
        let (space, evictor) = driven();
        if deliver {
            evictor.on_evict(|_, _| panic!("nothing is let go of"));
        }
        let pair = space.exclusive(|cx| {
            let page = cx.alloc(7u64);
            [10, 30].map(|size| {
                let page = cx.evictable_root(page);
                page.evictable(cx).set_size_bytes(cx, size);
                page
            })
        });
        let mut phase = begin(&space);
        phase.mark().unwrap();
        elsewhere(|| space.shared(|cx| assert_eq!(*pair[0].get(cx).unwrap(), 7)));
        reclaim(finish(phase));
        space.shared(|cx| assert!(pair.iter().all(|page| *page.peek(cx).unwrap() == 7)));
        let stats = evictor.eviction_stats();
        assert_eq!((stats.objects_resident, stats.bytes_resident), (1, 30));
        assert_eq!((stats.objects_evicted, stats.bytes_evicted), (0, 0));
        assert!(space.deliver_evicted(LockWait::NONE) && space.stats().evict_panics == 0);
        assert!(space.verify().unwrap().is_clean());
    }
}

#[test]
fn a_size_that_is_set_after_the_choice_counts_from_the_next_collection_on() {
    for deliver in [false, true] {
        let (space, evictor) = driven();
        if deliver {
            evictor.on_evict(|_, _| ());
        }
        let all = pages(&space, 3, 100);
        let mut phase = begin(&space);
        phase.mark().unwrap();
        elsewhere(|| {
            space.shared(|cx| {
                for page in &all[..2] {
                    page.evictable(cx).set_size_bytes(cx, 1_000_000);
                }
                assert!(all[0].get(cx).is_some());
            })
        });
        reclaim(finish(phase));
        let stats = evictor.eviction_stats();
        assert_eq!((stats.objects_resident, stats.bytes_resident), (1, 100));
        assert_eq!((stats.objects_evicted, stats.bytes_evicted), (2, 200));
        assert!(space.has_changed());
    }
}

/// What it does without a callback.
#[test]
fn what_only_a_victim_leads_to_counts_for_nothing_with_a_callback_too() {
    #[derive(IObject)]
    struct Book<'gc> {
        page: Evictable<'gc, u64>,
    }
    for threshold in [0, 50] {
        let (space, evictor) = driven();
        evictor.set_eviction_threshold(Some(threshold));
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        evictor.on_evict(move |_, object| {
            assert!(object.is::<Book<'_>>());
            count.fetch_add(1, SeqCst);
        });
        let books = space.exclusive(|cx| {
            let book =
                |number| cx.alloc(Book { page: cx.evictable_with_size(cx.alloc(number), 10) });
            let books: Vec<_> =
                (0..10u64).map(|number| cx.evictable_with_size(book(number), 20)).collect();
            cx.own_root(books)
        });
        cycle(&space);
        let stats = evictor.eviction_stats();
        assert!(stats.bytes_resident <= threshold, "{stats:?}");
        assert!(space.deliver_evicted(LockWait::NONE));
        assert!(told.load(SeqCst) >= 8);
        // The references in the books that were chosen are garbage now.
        let kept = space.shared(|cx| books.get(cx).iter().filter(|b| b.peek(cx).is_some()).count());
        cycle(&space);
        let stats = evictor.eviction_stats();
        assert!(stats.bytes_resident <= threshold && kept == threshold / 25, "{kept} {stats:?}");
        assert!(space.verify().unwrap().is_clean());
    }
}

/// Readers on several threads, one after the other.
#[test]
fn touches_of_readers_on_other_threads_count_in_their_order() {
    within(|| {
        let space = space();
        let all = pages(&space, 6, 10);
        for number in [4, 1, 5, 0, 3, 2] {
            let (space, page) = (&space, &all[number]);
            elsewhere(move || space.shared(|cx| assert!(page.set_touched(cx))));
        }
        for (threshold, expected) in
            [(50, vec![0, 1, 2, 3, 5]), (30, vec![0, 2, 3]), (20, vec![2, 3]), (10, vec![2])]
        {
            space.set_eviction_threshold(threshold);
            space.collect().unwrap();
            assert_eq!(kept(&space, &all), expected);
        }
    });
}

/// One access that readers on several threads share.
#[test]
fn touches_within_one_shared_access_count_in_their_order() {
    let space = space();
    let all = pages(&space, 4, 10);
    space.shared(|cx| {
        for number in [2, 0, 3] {
            let page = &all[number];
            elsewhere(|| assert!(page.set_touched(cx)));
        }
    });
    space.set_eviction_threshold(30);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [0, 2, 3]);
    space.set_eviction_threshold(10);
    space.collect().unwrap();
    assert_eq!(kept(&space, &all), [3]);
}

#[test]
fn touches_of_exclusive_accesses_count_in_their_order() {
    within(|| {
        let space = space();
        let all = pages(&space, 3, 10);
        for number in [2, 0, 1] {
            let (space, page) = (&space, &all[number]);
            elsewhere(move || space.exclusive(|cx| assert!(page.get(cx).is_some())));
        }
        space.set_eviction_threshold(20);
        space.collect().unwrap();
        assert_eq!(kept(&space, &all), [0, 1]);
        space.set_eviction_threshold(10);
        space.collect().unwrap();
        assert_eq!(kept(&space, &all), [1]);
    });
}

/// An object that refers to others strongly and by evictable references.
#[derive(IObject)]
struct Node<'gc> {
    drop: Static<crate::probe::Probe>,
    strong: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    evictable: Slot<'gc, Option<Evictable<'gc, Node<'gc>>>>,
}

fn node<'gc>(cx: &Exclusive<'gc>, drops: &Drops) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node { drop: drops.probe(), strong: Slot::new(None), evictable: Slot::new(None) })
}

type NodeRoot = EvictableRoot<Rootable![Node<'_>]>;

/// A chain of nodes, each held by an evictable reference of the one before; the last is touched first. The root
/// is that of the first, and the references of all.
fn chain(space: &Space, drops: &Drops, len: usize) -> Vec<NodeRoot> {
    space.exclusive(|cx| {
        let nodes: Vec<_> = (0..len).map(|_| node(cx, drops)).collect();
        let mut references = Vec::new();
        for at in (0..len).rev() {
            let reference = cx.evictable_root(nodes[at]);
            reference.evictable(cx).set_size_bytes(cx, 1);
            if at > 0 {
                nodes[at - 1].evictable.set(cx, Some(reference.evictable(cx)));
            }
            references.push(reference);
        }
        references.reverse();
        references
    })
}

#[test]
fn what_only_a_victim_leads_to_goes_with_it_and_counts_for_nothing() {
    let (space, drops) = (space(), Drops::new());
    let mut references = chain(&space, &drops, 4);
    // Only the first is held from outside.
    references.truncate(1);
    space.collect().unwrap();
    assert_eq!(space.eviction_stats().objects_resident, 4);
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert_eq!(drops.count(), 4);
    assert_eq!(space.eviction_stats().last_objects_evicted, 1, "nobody looked at the others");
}

/// The first wave finds the head alone and keeps it; those behind come in waves, and are older.
#[test]
fn references_found_behind_kept_objects_count_and_are_chosen_from_too() {
    let (space, drops) = (space(), Drops::new());
    let mut references = chain(&space, &drops, 4);
    let watch: Vec<_> = references.clone();
    references.truncate(1);
    drop(watch);
    space.set_eviction_threshold(3);
    space.collect().unwrap();
    let stats = space.eviction_stats();
    assert_eq!((stats.objects_resident, stats.last_objects_evicted), (3, 1));
    assert_eq!(drops.count(), 1, "the last, which was touched first");
}

/// A head that is older than what is behind it was kept by the wave that found it, and is chosen by the next.
#[test]
fn a_kept_one_that_a_later_wave_chooses_loses_its_reference_and_stays_for_a_cycle() {
    let (space, drops) = (space(), Drops::new());
    let references = chain(&space, &drops, 2);
    let second = references[1].clone();
    let head = references.into_iter().next().unwrap();
    drop(second);
    space.exclusive(|cx| {
        let next = head.peek(cx).unwrap().evictable.get(cx).unwrap();
        assert!(next.set_touched(cx));
    });
    space.set_eviction_threshold(1);
    space.collect().unwrap();
    assert!(space.shared(|cx| head.is_evicted(cx)));
    assert_eq!((drops.count(), space.eviction_stats().last_objects_evicted), (0, 1));
    space.collect().unwrap();
    assert_eq!(drops.count(), 2, "nothing leads to either");
    assert!(space.verify().unwrap().is_clean());
}

/// A chain of thousands was walked once for each of its nodes.
#[test]
#[cfg_attr(miri, ignore = "20,000 objects")]
fn a_chain_longer_than_the_waves_is_chosen_from_as_a_whole() {
    let (space, drops) = (space(), Drops::new());
    let head = chain(&space, &drops, 20_000).swap_remove(0);
    space.set_eviction_threshold(100);
    space.collect().unwrap();
    assert_eq!(space.eviction_stats().objects_resident, 100);
    assert_eq!(drops.count(), 0, "all were found, and so marked, before the last choice");
    space.collect().unwrap();
    assert_eq!(space.eviction_stats().objects_resident, 100);
    assert_eq!(drops.count(), 19_900);
    assert!(space.shared(|cx| head.get(cx).is_some()));
}

#[test]
fn a_victim_that_a_kept_object_refers_to_lives_on_without_its_reference() {
    let (space, drops) = (space(), Drops::new());
    let (old, new) = space.exclusive(|cx| {
        let (old, new) = (node(cx, &drops), node(cx, &drops));
        new.strong.set(cx, Some(old));
        (cx.evictable_root(old), cx.evictable_root(new))
    });
    space.set_max_evictable_objects(1);
    space.collect().unwrap();
    space.shared(|cx| {
        assert!(old.is_evicted(cx));
        assert!(new.get(cx).unwrap().strong.get(cx).is_some());
    });
    assert_eq!(drops.count(), 0);
}

#[test]
fn weak_references_to_a_victim_die_with_it() {
    let space = space();
    let (page, weak) = space.exclusive(|cx| {
        let object = cx.alloc(5u64);
        (cx.evictable_root(object), cx.weak_root(object))
    });
    space.collect().unwrap();
    assert!(space.shared(|cx| !weak.is_dead(cx)), "an evictable one holds it");
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert!(space.shared(|cx| weak.is_dead(cx) && page.is_evicted(cx)));
}

#[test]
fn an_object_got_in_an_access_is_whole_until_its_end() {
    within(|| {
        let (space, drops) =
            (CSpace::builder().eviction_threshold(0).build().unwrap(), Drops::new());
        let root = space.exclusive(|cx| cx.evictable_root(cx.alloc((drops.probe(), 7u64))));
        let n = space.total_num_completed_gcs();
        space.shared(|cx| {
            let object = root.get(cx).unwrap();
            // Chooses it, or waits; the finish cannot pass.
            space.request_gc();
            thread::sleep(Duration::from_millis(20));
            assert_eq!((object.1, drops.count()), (7, 0));
        });
        space.wait_for_gc_after(n, Duration::from_secs(60)).unwrap();
        eventually(|| {
            space.collect().unwrap();
            drops.count() == 1
        });
    });
}

#[test]
fn a_reference_is_of_the_space_that_made_it() {
    let (space, other) = (space(), self::space());
    let page = pages(&space, 1, 1).pop().unwrap();
    assert!(other.shared(|cx| page.try_evictable(cx).is_err()));
    assert!(panic_of(|| other.shared(|cx| page.get(cx).is_some())).contains("another space"));
    drop(space);
    assert!(other.shared(|cx| page.try_evictable(cx).is_err()));
}

#[test]
fn try_evict_lets_go_of_so_much_and_says_of_how_much() {
    let space = space();
    let all = pages(&space, 10, 10);
    let evicted = space.try_evict(25).unwrap();
    assert_eq!(evicted, Evicted { objects: 3, bytes: 30 });
    assert_eq!(kept(&space, &all), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(space.try_evict(0).unwrap(), Evicted::default());
    space.collect().unwrap();
    assert_eq!(kept(&space, &all).len(), 7, "it was asked for once");
    space.set_eviction_threshold(60);
    assert_eq!(space.try_evict(5).unwrap().objects, 1, "the threshold asks for as much");
    assert_eq!(space.try_evict(usize::MAX).unwrap(), Evicted { objects: 6, bytes: 60 });
    assert_eq!(space.try_evict(1).unwrap(), Evicted::default(), "none is left");
    assert!(space.exclusive(|_| space.try_evict(1)).is_err(), "inside of an access");
    let later = pages(&space, 1, 10);
    space.collect().unwrap();
    assert_eq!(kept(&space, &later), [], "what failed is done by the next collection");
    let off = CSpace::builder().gc(GcMode::Off).build().unwrap();
    assert!(matches!(off.try_evict(1), Err(CollectError::NoCollector { .. })));
}

#[test]
fn a_request_is_served_by_the_next_collection() {
    let space = space();
    let all = pages(&space, 4, 10);
    space.exclusive(|_| {
        space.request_evict(15);
        space.request_evict(5);
    });
    let mut lock = space.lock();
    lock.safepoint();
    drop(lock);
    assert_eq!(
        kept(&space, &all),
        [2, 3],
        "the larger of two, by the collection that was requested"
    );
}

#[test]
fn an_allocation_that_failed_lets_go_of_as_much() {
    let limit = 1 << 20;
    let space = CSpace::builder().gc(GcMode::Manual).max_heap_bytes(limit).build().unwrap();
    let all: Vec<EvictableRoot<Rootable![Slice<u8>]>> = space.exclusive(|cx| {
        (0..)
            .map_while(|_| {
                let bytes = cx.try_alloc_slice_copy(&[0u8; 100_000]).ok()?;
                Some(cx.evictable_root(bytes))
            })
            .collect()
    });
    let there = |space: &CSpace| {
        space.shared(|cx| all.iter().filter(|bytes| !bytes.is_evicted(cx)).count())
    };
    assert_eq!(there(&space), all.len());
    space.collect().unwrap();
    assert_eq!(there(&space), all.len() - 1);
    space.exclusive(|cx| assert!(cx.try_alloc_slice_copy(&[0u8; 100_000]).is_ok()));
    space.collect().unwrap();
    assert_eq!(there(&space), all.len() - 1, "nothing failed since");
}

// ---- phase by phase

fn begin(space: &Space) -> MarkPhase {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    MarkPhase::begin(claim, LockWait::FOREVER).unwrap()
}

fn finish(phase: MarkPhase) -> Batch {
    phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside").condemn().unwrap().0
}

fn reclaim(batch: Batch) -> Reclaimed {
    batch.reclaim().ok().expect("this thread holds nothing")
}

/// A space without a collector of its own, with a policy that lets go of everything.
fn driven() -> (Space, Arc<Evictor>) {
    let evictor = Evictor::new();
    evictor.set_eviction_threshold(Some(0));
    (Space::builder().eviction_policy(evictor.clone()).build().unwrap(), evictor)
}

#[test]
fn a_victim_that_a_reader_gets_before_the_finish_is_kept() {
    let (space, evictor) = driven();
    let all = pages(&space, 5, 10);
    let mut phase = begin(&space);
    phase.mark().unwrap();
    elsewhere(|| {
        space.shared(|cx| {
            assert!(all.iter().all(|page| !page.is_evicted(cx)), "nothing is decided for good");
            assert_eq!(all[0].get(cx).map(|page| *page), Some(0));
            assert!(all[1].set_touched(cx));
            assert_eq!(
                all[2].peek(cx).map(|page| *page),
                Some(2),
                "whole, and not kept by looking"
            );
            drop(all[3].pin(cx));
        });
    });
    assert_eq!(phase.drain_late(), Ok(3), "the three that were touched");
    let batch = finish(phase);
    let expected = [0, 1, 3];
    assert_eq!(kept(&space, &all), expected);
    reclaim(batch);
    assert_eq!(kept(&space, &all), expected);
    let stats = evictor.eviction_stats();
    assert_eq!((stats.objects_resident, stats.bytes_resident), (3, 30));
    assert_eq!((stats.objects_evicted, stats.bytes_evicted), (2, 20));
    assert!(space.verify().unwrap().is_clean());
}

/// The finish has to take what was rescued after the last look.
#[test]
fn a_victim_rescued_at_the_last_moment_is_kept_with_what_it_leads_to() {
    let ((space, _), drops) = (driven(), Drops::new());
    let references = chain(&space, &drops, 2);
    let head = references.into_iter().next().unwrap();
    space.exclusive(|cx| {
        let inner = node(cx, &drops);
        head.get(cx).unwrap().strong.set(cx, Some(inner));
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    assert_eq!(phase.drain_late(), Ok(0));
    elsewhere(|| space.shared(|cx| assert!(head.get(cx).is_some())));
    reclaim(finish(phase));
    assert_eq!(drops.count(), 0);
    space.shared(|cx| {
        let head = head.get(cx).unwrap();
        assert!(head.strong.get(cx).is_some());
        assert!(head.evictable.get(cx).unwrap().get(cx).is_some(), "found late, and so kept");
    });
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn a_victim_that_a_reader_roots_otherwise_lives_on_without_its_reference() {
    let (space, _) = driven();
    let (page, weak) = space.exclusive(|cx| {
        let object = cx.alloc(5u64);
        (cx.evictable_root(object), cx.weak_root(object))
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let root = elsewhere(|| space.shared(|cx| cx.root(weak.upgrade(cx).unwrap())));
    reclaim(finish(phase));
    space.shared(|cx| assert!(page.is_evicted(cx) && *root.get(cx) == 5));
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn a_cycle_that_is_given_up_lets_go_of_nothing() {
    let (space, evictor) = driven();
    let all = pages(&space, 4, 10);
    for in_finish in [false, true] {
        let mut phase = begin(&space);
        phase.mark().unwrap();
        elsewhere(|| space.shared(|cx| all[1].get(cx).is_some()));
        if in_finish {
            drop(phase.try_finish(Duration::from_secs(60)).ok().unwrap());
        } else {
            drop(phase);
        }
        assert_eq!(kept(&space, &all), [0, 1, 2, 3]);
        assert!(space.verify().unwrap().is_clean());
    }
    assert_eq!(evictor.eviction_stats(), EvictionStats::default());
    evictor.set_eviction_threshold(Some(20));
    let mut phase = begin(&space);
    phase.mark().unwrap();
    assert_eq!(phase.drain_late(), Ok(0), "nothing is left of what was rescued then");
    reclaim(finish(phase));
    assert_eq!(kept(&space, &all), [1, 3]);
}

#[test]
fn a_visit_that_panics_while_the_kept_are_marked_gives_the_cycle_up() {
    let (space, evictor) = driven();
    evictor.set_eviction_threshold(Some(1));
    let all = pages(&space, 3, 1);
    let bad = space.exclusive(|cx| {
        let bad = cx.evictable_with_size(cx.alloc(PanicsOnVisit::new()), 1);
        cx.own_root(bad)
    });
    let mut phase = begin(&space);
    assert!(matches!(phase.mark(), Err(CollectError::VisitPanicked { .. })));
    drop(phase);
    assert_eq!(kept(&space, &all), [0, 1, 2]);
    space.shared(|cx| bad.get(cx).get(cx).unwrap().calm());
    let mut phase = begin(&space);
    phase.mark().unwrap();
    reclaim(finish(phase));
    assert_eq!(kept(&space, &all), []);
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn what_a_merge_moves_stays_let_go_of_and_stays_kept() {
    let (source, target) = (driven(), driven());
    source.1.set_eviction_threshold(Some(10));
    target.1.set_eviction_threshold(None);
    let all = pages(&source.0, 2, 10);
    let mut phase = begin(&source.0);
    phase.mark().unwrap();
    // The batch is out while the spaces are merged.
    let batch = finish(phase);
    target.0.transfer_from(&source.0).unwrap();
    assert_eq!(kept(&target.0, &all), [1]);
    let mut own = pages(&target.0, 1, 10);
    reclaim(batch);
    own.extend(all);
    let mut phase = begin(&target.0);
    phase.mark().unwrap();
    assert_eq!(kept_elsewhere(&target.0, &own), [0, 1]);
    reclaim(finish(phase));
    target.1.set_eviction_threshold(Some(10));
    let mut phase = begin(&target.0);
    phase.mark().unwrap();
    reclaim(finish(phase));
    assert_eq!(kept(&target.0, &own), [0], "made last, in the other space");
    for space in [&source.0, &target.0] {
        let report = space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

/// As `kept`, by another thread: while this one marks.
fn kept_elsewhere(space: &Space, pages: &[Page]) -> Vec<u64> {
    elsewhere(|| kept(space, pages))
}

// ---- what a policy may do

type Choose = Box<dyn Fn(&mut [Candidate]) -> usize + Send + Sync>;

/// A policy of one closure.
struct Policy {
    choose: Choose,
}

impl EvictionPolicy for Policy {
    fn is_over(&self, residents: &Residents) -> bool {
        residents.candidates.count > 0 && residents.evicted.count == 0
    }
    fn choose(&self, residents: &Residents, candidates: &mut [Candidate]) -> usize {
        assert_eq!(residents.candidates, Tally { count: 4, bytes: 40 });
        assert_eq!(residents.resident().count, candidates.len());
        (self.choose)(candidates)
    }
}

fn with_policy(
    choose: impl Fn(&mut [Candidate]) -> usize + Send + Sync + 'static,
) -> (Space, Vec<Page>, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let space = Space::builder()
        .eviction_policy(Arc::new(Policy { choose: Box::new(choose) }))
        .on_event(move |event| {
            if let Event::EvictionPanicked { message } = event {
                listener.lock().unwrap().push(message.clone());
            }
        })
        .build()
        .unwrap();
    let pages = pages(&space, 4, 10);
    (space, pages, said)
}

/// A cycle whose victims are not delivered.
fn cycle(space: &Space) -> CollectReport {
    let mut phase = begin(space);
    phase.mark().unwrap();
    let (batch, mut report) =
        phase.try_finish(Duration::from_secs(60)).ok().unwrap().condemn().unwrap();
    let remains = batch.sweep_recording(&mut report);
    let reclaimed = remains.run_recording(&mut report).ok().unwrap();
    space.announce(&report, &reclaimed);
    report
}

#[test]
fn a_policy_that_names_more_victims_than_there_are_gets_all() {
    let (space, pages, _) = with_policy(|_| usize::MAX);
    assert_eq!(cycle(&space).objects_evicted, 4);
    assert_eq!(kept(&space, &pages), []);
}

#[test]
fn a_policy_may_choose_by_what_it_likes() {
    let (space, pages, _) = with_policy(|candidates| {
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.stamp()));
        assert!(candidates.iter().all(|candidate| candidate.size_bytes() == 10));
        2
    });
    assert_eq!(cycle(&space).objects_evicted, 2);
    assert_eq!(kept(&space, &pages), [0, 1], "the most recent went");
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn a_policy_that_panics_lets_go_of_nothing_and_is_told() {
    let (space, pages, said) = with_policy(|candidates| {
        candidates.reverse();
        panic!("cannot choose")
    });
    assert_eq!(cycle(&space).objects_evicted, 0);
    assert_eq!(kept(&space, &pages), [0, 1, 2, 3]);
    assert_eq!(*said.lock().unwrap(), ["cannot choose"]);
    assert_eq!(space.stats().evict_panics, 1);
}

// ---- the callback

/// Collects the numbers of evicted pages.
fn collected(space: &CSpace) -> Arc<Mutex<Vec<u64>>> {
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&numbers);
    space.on_evict(move |_, object| {
        seen.lock().unwrap().push(*object.downcast::<u64>().unwrap());
    });
    numbers
}

#[test]
fn the_callback_sees_each_victim_whole_and_once_after_its_references_are_cleared() {
    let space = space();
    let drops = Drops::new();
    let root = space.exclusive(|cx| cx.evictable_root(cx.alloc((drops.probe(), 7u64))));
    let seen = Arc::new(AtomicUsize::new(0));
    let (count, reference, dropped) = (Arc::clone(&seen), root.clone(), drops.clone());
    space.on_evict(move |cx, object| {
        assert!(reference.is_evicted(cx));
        let object = object.downcast::<(Static<crate::probe::Probe>, u64)>().unwrap();
        assert_eq!((object.1, dropped.count()), (7, 0));
        count.fetch_add(1, SeqCst);
    });
    space.set_eviction_threshold(0);
    let report = space.collect().unwrap();
    assert_eq!((seen.load(SeqCst), drops.count()), (1, 1), "and goes with the same call");
    assert_eq!((report.objects_evicted, report.objects_reclaimed, report.cycle), (1, 1, 2));
    assert!(!space.has_evicted() && !space.has_delivered() && !space.wants_collection());
    assert!(space.shared(|cx| root.is_evicted(cx)));
}

#[test]
#[cfg_attr(miri, ignore = "200 objects that are evicted")]
fn the_callback_sees_those_that_went_and_no_others() {
    let space = space();
    let all = pages(&space, 200, 1);
    let numbers = collected(&space);
    space.set_eviction_threshold(50);
    space.collect().unwrap();
    let mut went = std::mem::take(&mut *numbers.lock().unwrap());
    went.sort_unstable();
    assert_eq!(went, (0..150).collect::<Vec<_>>(), "more than one access delivers");
    space.evictor().clear_on_evict();
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert!(numbers.lock().unwrap().is_empty() && kept(&space, &all).is_empty());
    space.collect().unwrap();
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn what_the_callback_links_back_lives_on_and_may_be_made_evictable_again() {
    let space = space();
    let owned = space.exclusive(|cx| {
        cx.own_root((
            GcCell::new(Vec::<Gc<'_, u64>>::new()),
            GcCell::new(Vec::<Evictable<'_, u64>>::new()),
        ))
    });
    let owned = Arc::new(Mutex::new(owned));
    let saved = Arc::clone(&owned);
    let all = pages(&space, 3, 10);
    let evictor = Arc::clone(space.evictor());
    space.on_evict(move |cx, object| {
        // Else the next collection, which comes at once, lets go of them again.
        evictor.set_eviction_threshold(None);
        let page = object.downcast::<u64>().unwrap();
        let mut owned = saved.lock().unwrap();
        if *page == 0 {
            owned.get_mut(cx).0.borrow_mut(cx).push(page);
        } else {
            let again = cx.evictable(page);
            owned.get_mut(cx).1.borrow_mut(cx).push(again);
            cx.alloc("garbage".to_string());
        }
    });
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    space.shared(|cx| {
        let owned = owned.lock().unwrap();
        let (held, again) = owned.get(cx);
        assert_eq!(held.borrow(cx).iter().map(|page| **page).collect::<Vec<_>>(), [0]);
        let mut again: Vec<u64> =
            again.borrow(cx).iter().map(|page| *page.get(cx).unwrap()).collect();
        again.sort_unstable();
        assert_eq!(again, [1, 2]);
        assert!(all.iter().all(|page| page.is_evicted(cx)), "the old references stay cleared");
    });
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn a_callback_that_panics_poisons_nothing_and_the_others_are_called() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let space = CSpace::builder()
        .gc(GcMode::Manual)
        .eviction_threshold(0)
        .on_event(move |event| {
            if let Event::EvictionPanicked { message } = event {
                listener.lock().unwrap().push(message.clone());
            }
        })
        .build()
        .unwrap();
    let all = pages(&space, 4, 10);
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    space.on_evict(move |_, object| {
        count.fetch_add(1, SeqCst);
        let number = *object.downcast::<u64>().unwrap();
        assert!(number % 2 == 0, "odd {number}");
    });
    space.collect().unwrap();
    assert_eq!((called.load(SeqCst), space.stats().evict_panics), (4, 2));
    let mut said = said.lock().unwrap().clone();
    said.sort_unstable();
    assert_eq!(said, ["odd 1", "odd 3"]);
    assert!(!space.is_poisoned());
    space.collect().unwrap();
    assert!(kept(&space, &all).is_empty() && space.verify().unwrap().is_clean());
}

#[test]
fn a_callback_that_fails_to_allocate_poisons_nothing() {
    let space = CSpace::builder().gc(GcMode::Manual).max_heap_bytes(1 << 20).build().unwrap();
    let all = pages(&space, 2, 10);
    space.on_evict(|cx, _| _ = cx.alloc_slice_copy(&[0u8; 2 << 20]));
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert_eq!((space.is_poisoned(), space.stats().evict_panics), (false, 2));
    // And a later panic is not taken for that one.
    panic_of(|| space.exclusive(|_| panic!("another")));
    assert!(space.is_poisoned());
    drop(all);
}

#[test]
fn a_callback_may_ask_for_a_collection_and_not_wait_for_one() {
    within(|| {
        let space = space();
        let all = pages(&space, 3, 10);
        let this = space.downgrade();
        let errors = Arc::new(Mutex::new(Vec::new()));
        let failed = Arc::clone(&errors);
        space.on_evict(move |cx, _| {
            let space = this.upgrade().unwrap();
            failed.lock().unwrap().push(space.collect().is_err());
            cx.request_gc();
            space.request_evict(1);
        });
        space.set_eviction_threshold(0);
        space.collect().unwrap();
        assert_eq!(*errors.lock().unwrap(), [true; 3]);
        assert!(kept(&space, &all).is_empty());
    });
}

#[test]
fn stress_that_collects_at_every_safepoint_delivers_without_end() {
    within(|| {
        let space = CSpace::builder().stress(true).eviction_threshold(0).build().unwrap();
        let numbers = collected(&space);
        let all: Vec<Page> =
            (0..if cfg!(miri) { 8 } else { 50 }).flat_map(|_| pages(&space, 1, 10)).collect();
        eventually(|| {
            space.exclusive(|cx| _ = cx.alloc(1u8));
            numbers.lock().unwrap().len() == all.len()
        });
    });
}

#[test]
fn a_rescued_victim_is_not_delivered() {
    let (space, evictor) = driven();
    let all = pages(&space, 3, 10);
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&numbers);
    evictor.on_evict(move |_, object| {
        seen.lock().unwrap().push(*object.downcast::<u64>().unwrap());
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    elsewhere(|| space.shared(|cx| assert!(all[1].get(cx).is_some())));
    reclaim(finish(phase));
    assert!(space.has_evicted());
    // Whole until they are delivered, however many collections come before.
    for _ in 0..2 {
        cycle(&space);
        assert!(space.verify().unwrap().is_clean());
    }
    // The later collections let go of the rescued one too, and of each once.
    assert!(space.deliver_evicted(LockWait::FOREVER) && !space.has_evicted());
    let mut numbers = numbers.lock().unwrap().clone();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn a_victim_rescued_and_dropped_before_the_delivery_is_forgotten() {
    let ((space, evictor), drops) = (driven(), Drops::new());
    evictor.on_evict(|_, _| panic!("nothing is let go of"));
    let root = space.exclusive(|cx| cx.evictable_root(cx.alloc(drops.probe())));
    let mut phase = begin(&space);
    phase.mark().unwrap();
    elsewhere(|| space.shared(|cx| assert!(root.get(cx).is_some())));
    reclaim(finish(phase));
    drop(root);
    evictor.set_eviction_threshold(None);
    cycle(&space);
    assert_eq!((drops.count(), space.num_objects()), (1, 0));
    assert!(!space.has_evicted() && space.deliver_evicted(LockWait::FOREVER));
    assert_eq!(space.stats().evict_panics, 0);
}

#[test]
fn victims_that_were_not_delivered_move_with_a_merge_and_die_with_the_space() {
    let (source, target) = (driven(), driven());
    let drops = Drops::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    source.1.on_evict(move |_, object| {
        assert!(object.is::<Static<crate::probe::Probe>>());
        count.fetch_add(1, SeqCst);
    });
    target.1.on_evict(|_, _| panic!("these are the source's"));
    target.1.set_eviction_threshold(None);
    let fill = || source.0.exclusive(|cx| cx.evictable_root(cx.alloc(drops.probe())));
    let root = fill();
    cycle(&source.0);
    target.0.transfer_from(&source.0).unwrap();
    assert!(!source.0.has_evicted() && target.0.has_evicted());
    cycle(&target.0);
    assert_eq!(drops.count(), 0);
    assert!(target.0.deliver_evicted(LockWait::FOREVER));
    assert_eq!(seen.load(SeqCst), 1);
    cycle(&target.0);
    assert_eq!(drops.count(), 1);
    drop(root);
    let root = fill();
    cycle(&source.0);
    assert!(source.0.has_evicted());
    drop(source);
    assert_eq!((drops.count(), seen.load(SeqCst)), (2, 1), "dropped, and not delivered");
    drop(root);
}

/// The collecting thread cannot have the lock: whoever has it delivers at its next safepoint.
#[test]
fn who_holds_the_lock_delivers_at_its_safepoint_what_a_collector_could_not() {
    within(|| {
        let (space, evictor) = {
            let space = space();
            let evictor = Arc::clone(space.evictor());
            (space, evictor)
        };
        let numbers = collected(&space);
        evictor.set_eviction_threshold(Some(0));
        let _all = pages(&space, 2, 10);
        reclaim({
            let mut phase = begin(&space);
            phase.mark().unwrap();
            finish(phase)
        });
        assert!(numbers.lock().unwrap().is_empty(), "nobody delivers by itself");
        let mut lock = space.lock();
        assert!(!space.deliver_evicted(LockWait::FOREVER), "a thread that holds it cannot");
        space.request_yield();
        lock.safepoint();
        assert_eq!(numbers.lock().unwrap().len(), 2);
    });
}

/// What collectors ask before they let a quiet space sleep.
#[test]
fn a_change_of_a_size_a_setting_or_what_there_is_shows_until_the_next_cycle() {
    let space = space();
    assert!(!space.has_changed());
    let all = pages(&space, 2, 10);
    let settle = |space: &CSpace| {
        assert!(space.has_changed());
        space.collect().unwrap();
        assert!(!space.has_changed());
    };
    settle(&space);
    space.shared(|cx| all[0].evictable(cx).set_size_bytes(cx, 20));
    settle(&space);
    space.set_eviction_threshold(100);
    settle(&space);
    space.evictor().set_max_evictable_objects(Some(10));
    settle(&space);
    space.exclusive(|cx| cx.try_evictable_with_size(cx.alloc(1u64), 1).map(drop)).unwrap();
    settle(&space);
    space.shared(|cx| assert!(all[0].get(cx).is_some() && all[1].peek(cx).is_some()));
    assert!(!space.has_changed(), "a touch is none");
    let other = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    other.transfer_from(&space).unwrap();
    settle(&other);
}

#[test]
fn a_cycle_that_is_given_up_leaves_the_change_to_the_next_one() {
    let space = Space::builder().build().unwrap();
    let _page = space.exclusive(|cx| cx.evictable_root(cx.alloc(5u64)));
    let mut phase = MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER).unwrap();
    phase.mark().unwrap();
    assert!(!space.has_changed());
    drop(phase);
    assert!(space.has_changed());
}

/// They may be old, and were marked for what held them then.
#[test]
fn objects_that_become_evictable_are_counted_by_the_next_cycle() {
    for increments in [false, true] {
        let evictor = Evictor::new();
        evictor.set_eviction_threshold(Some(0));
        let space = Space::builder().stress(true).eviction_policy(evictor.clone());
        let space = space.minor_collections(!increments).build().unwrap();
        let cycle = |extent| {
            let claim = space.try_claim_cycle().unwrap();
            let phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
            let mut phase = phase.try_increment().unwrap()?;
            phase.mark_as(extent).unwrap();
            let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
            let (batch, report) = finish.condemn().unwrap();
            batch.reclaim().ok().unwrap();
            Some(report)
        };
        let held = space.exclusive(|cx| cx.root(cx.alloc(5u64)));
        cycle(Extent::Full);
        if increments {
            assert!(cycle(Extent::MinorWillDo).is_none(), "a mark is under way, and has seen it");
        }
        let page = space.exclusive(|cx| cx.evictable_root(held.get(cx)));
        drop(held);
        let report = cycle(Extent::MinorWillDo).unwrap();
        assert!(!report.is_minor && report.increments == 0);
        assert_eq!((report.objects_evicted, evictor.eviction_stats().objects_held), (1, 0));
        assert!(space.shared(|cx| page.is_evicted(cx)));
    }
}
