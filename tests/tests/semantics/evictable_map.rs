//! Evictable maps: limits of their own, what is left of objects that went, and keys that misbehave. Random programs
//! are in `model/evictable_map.rs`.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

use cspace::*;

use crate::keys::Key;
use crate::probe::{Drops, Probe};
use crate::watchdog::panic_of;

type Pages<'gc> = EvictableMap<'gc, u32, u64>;

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

/// A map with pages for these keys, each standing for 10 bytes.
fn map<'gc>(cx: &Exclusive<'gc>, limit: Option<MapLimit>, keys: &[u32]) -> Pages<'gc> {
    let mut map = limit.map_or_else(Pages::new, Pages::with_limit);
    keys.iter().for_each(|key| _ = map.insert(cx, *key, page(cx, *key)));
    map
}

fn page<'gc>(cx: &Exclusive<'gc>, number: u32) -> Evictable<'gc, u64> {
    cx.evictable_with_size(cx.alloc(u64::from(number)), 10)
}

/// The keys that a map shows, in order.
fn keys<'gc>(cx: &impl Access<'gc>, map: &Pages<'gc>) -> Vec<u32> {
    let mut keys: Vec<_> = map.iter(cx).map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn getting_touches_and_looking_does_not() {
    manual().exclusive(|cx| {
        let mut map = map(cx, Some(MapLimit::Entries(4)), &[1, 2, 3, 4]);
        assert!(map.get(cx, &1).is_some() && map.peek(cx, &2).is_some());
        assert!(map.contains_key(cx, &2) && map.iter(cx).count() == 4);
        assert!(map.evictable(&3).unwrap().set_touched(cx));
        map.insert(cx, 5, page(cx, 5));
        assert_eq!(keys(cx, &map), [1, 3, 4, 5], "2 was only looked at");
        map.insert(cx, 6, page(cx, 6));
        assert_eq!(keys(cx, &map), [1, 3, 5, 6]);
    });
}

#[test]
fn a_limit_in_bytes_counts_what_values_stood_for_when_they_were_inserted() {
    manual().exclusive(|cx| {
        let mut map = map(cx, Some(MapLimit::Bytes(30)), &[1, 2, 3]);
        assert_eq!((keys(cx, &map).as_slice(), map.bytes_hint()), (&[1, 2, 3][..], 30));
        map.evictable(&3).unwrap().set_size_bytes(cx, 1000);
        map.insert(cx, 4, cx.evictable_with_size(cx.alloc(4), 20));
        assert_eq!((keys(cx, &map).as_slice(), map.bytes_hint()), (&[3, 4][..], 30));
        map.insert(cx, 5, cx.evictable_with_size(cx.alloc(5), 31));
        assert_eq!(
            (keys(cx, &map).as_slice(), map.bytes_hint()),
            (&[3, 4][..], 30),
            "too large alone"
        );
        map.insert(cx, 6, page(cx, 6));
        assert_eq!(keys(cx, &map), [4, 6]);
        let old = map.insert(cx, 4, cx.evictable_with_size(cx.alloc(7), 31));
        assert_eq!(
            (*old.unwrap(), keys(cx, &map).as_slice()),
            (4, &[6][..]),
            "what was there is old"
        );
        map.insert(cx, 7, cx.evictable_with_size(cx.alloc(7), 20));
        map.set_limit(cx, Some(MapLimit::Bytes(15)));
        assert_eq!(keys(cx, &map), [6], "what can never fit goes first, though it is newer");
    });
}

#[test]
fn a_limit_that_comes_later_knows_of_touches_before() {
    manual().exclusive(|cx| {
        let mut map = map(cx, None, &[1, 2, 3, 4]);
        map.get(cx, &1);
        map.set_limit(cx, Some(MapLimit::Entries(2)));
        assert_eq!(
            (keys(cx, &map).as_slice(), map.limit()),
            (&[1, 4][..], Some(MapLimit::Entries(2)))
        );
        map.set_limit(cx, None);
        (10..20).for_each(|key| _ = map.insert(cx, key, page(cx, key)));
        assert_eq!(map.len_hint(), 12);
        map.set_limit(cx, Some(MapLimit::Bytes(0)));
        assert_eq!((map.len_hint(), map.bytes_hint()), (0, 0));
        map.set_limit(cx, Some(MapLimit::Entries(0)));
        assert!(map.insert(cx, 1, page(cx, 1)).is_none() && map.get(cx, &1).is_none());
    });
}

#[test]
fn what_is_replaced_is_returned_and_counts_no_more() {
    manual().exclusive(|cx| {
        let mut map = map(cx, Some(MapLimit::Bytes(20)), &[1, 2]);
        let old = map.insert(cx, 1, cx.evictable_with_size(cx.alloc(7), 5));
        assert_eq!((*old.unwrap(), map.bytes_hint(), map.len_hint()), (1, 15, 2));
        assert_eq!((*map.remove(cx, &2).unwrap(), map.bytes_hint()), (2, 5));
        assert!(map.remove(cx, &2).is_none());
        // The queue has been given entries that are no more, and now slots that are used again.
        (3..100).for_each(|key| _ = map.insert(cx, key, page(cx, key)));
        assert_eq!(keys(cx, &map), [98, 99]);
    });
}

#[test]
fn sizes_that_overflow_are_counted_right() {
    manual().exclusive(|cx| {
        let mut map = Pages::new();
        let huge = |number| cx.evictable_with_size(cx.alloc(number), usize::MAX);
        (0..3).for_each(|key| _ = map.insert(cx, key, huge(u64::from(key))));
        assert_eq!(map.bytes_hint(), usize::MAX);
        map.remove(cx, &0);
        map.remove(cx, &1);
        assert_eq!(map.bytes_hint(), usize::MAX, "one is left");
        map.set_limit(cx, Some(MapLimit::Bytes(usize::MAX)));
        assert_eq!(keys(cx, &map), [2], "that is within it");
        map.insert(cx, 3, cx.evictable_with_size(cx.alloc(3), 1));
        assert_eq!((keys(cx, &map).as_slice(), map.bytes_hint()), (&[3][..], 1), "both are not");
    });
}

#[test]
fn entries_of_objects_that_went_are_not_found_and_go_with_insertions() {
    let space = manual();
    let mut owned = space.exclusive(|cx| cx.own_root(map(cx, None, &(0..20).collect::<Vec<_>>())));
    let pin = space.shared(|cx| owned.get(cx).evictable(&7).unwrap().pin(cx).unwrap());
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    space.set_eviction_threshold(None);
    space.exclusive(|cx| {
        let map = owned.get_mut(cx);
        assert!(map.get(cx, &1).is_none() && !map.contains_key(cx, &1));
        assert!(map.evictable(&1).unwrap().is_evicted(cx));
        assert_eq!(
            (keys(cx, map).as_slice(), map.len_hint(), map.bytes_hint()),
            (&[7][..], 20, 200)
        );
        assert!(map.remove(cx, &2).is_none() && map.insert(cx, 3, page(cx, 3)).is_none());
        assert_eq!(map.len_hint(), 19);
        (100..120).for_each(|key| _ = map.insert(cx, key, page(cx, key)));
        assert_eq!((map.len_hint(), map.iter(cx).count()), (22, 22), "an insertion purged");
        assert_eq!(map.purge(cx), 0);
    });
    drop(pin);
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn a_reference_whose_object_went_is_not_put_in() {
    let space = manual();
    let mut owned = space.exclusive(|cx| {
        let stale = page(cx, 1);
        cx.own_root((vec![stale], map(cx, Some(MapLimit::Entries(5)), &[1, 2])))
    });
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    space.exclusive(|cx| {
        let (stale, map) = owned.get_mut(cx);
        map.insert(cx, 2, page(cx, 7));
        let old = map.insert(cx, 2, stale[0]);
        assert_eq!(old.map(|page| *page), Some(7), "what was there is removed");
        assert!(map.evictable(&2).is_none());
        assert_eq!(map.len_hint(), 1, "that of 1, whose object went");
    });
}

#[derive(IObject)]
struct Owner<'gc> {
    probe: Static<Probe>,
    pages: GcCell<'gc, EvictableMap<'gc, u32, Owner<'gc>>>,
}

#[test]
fn a_map_in_an_object_whose_values_refer_to_it_goes_with_it() {
    let (space, drops) = (manual(), Drops::new());
    let owner = space.exclusive(|cx| {
        let owner = || Owner { probe: drops.probe(), pages: GcCell::new(EvictableMap::new()) };
        let (first, second) = (cx.alloc(owner()), cx.alloc(owner()));
        for (from, to) in [(first, second), (second, first), (first, first)] {
            let page = cx.evictable(to);
            let (alloc, cells) = cx.split();
            let key = from.pages.borrow(cells).len_hint() as u32;
            from.pages.borrow_mut(cells).insert(alloc, key, page);
        }
        cx.root(first)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.shared(|cx| assert_eq!(owner.get(cx).pages.borrow(cx).iter(cx).count(), 2));
    drop(owner);
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (2, 0));
}

type Odd<'gc> = EvictableMap<'gc, Static<Key>, u64>;

#[test]
fn a_hash_or_a_comparison_that_panics_leaves_the_map_as_it_was() {
    manual().exclusive(|cx| {
        let mut map = Odd::with_limit(MapLimit::Bytes(20));
        for number in 0..2 {
            map.insert(cx, Static(Key::new(number)), page(cx, number));
        }
        let bad = || {
            [
                Key::new(1).on_hash(|| panic!("no hash")),
                Key::new(1).on_eq(|| panic!("no comparison")),
            ]
        };
        for key in bad() {
            assert!(panic_of(|| map.get(cx, &key)).starts_with("no "));
            assert!(panic_of(|| map.remove(cx, &key)).starts_with("no "));
        }
        for key in bad() {
            let new = page(cx, 7);
            assert!(panic_of(|| map.insert(cx, Static(key), new)).starts_with("no "));
        }
        assert_eq!((map.len_hint(), map.bytes_hint()), (2, 20));
        assert!((0..2).all(|number| *map.get(cx, &Key::new(number)).unwrap() == u64::from(number)));
    });
}

#[test]
fn drops_of_keys_that_panic_do_not_stop_what_dropped_them() {
    manual().exclusive(|cx| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let bad = |number| {
            let dropped = Arc::clone(&dropped);
            Static(Key::new(number).on_drop(move || {
                if dropped.fetch_add(1, SeqCst) % 4 == 0 {
                    panic!("cannot go");
                }
            }))
        };
        let mut map = Odd::with_limit(MapLimit::Entries(3));
        (0..3).for_each(|number| _ = map.insert(cx, bad(number), page(cx, number)));
        // By the limit.
        assert_eq!(panic_of(|| map.insert(cx, bad(3), page(cx, 3))), "cannot go");
        assert_eq!((map.len_hint(), map.bytes_hint()), (3, 30));
        assert!(map.get(cx, &Key::new(0)).is_none() && map.get(cx, &Key::new(3)).is_some());
        dropped.store(0, SeqCst);
        assert_eq!(panic_of(|| map.remove(cx, &Key::new(1))), "cannot go");
        assert_eq!((map.len_hint(), map.bytes_hint()), (2, 20));
        dropped.store(0, SeqCst);
        assert_eq!(panic_of(|| map.clear()), "cannot go");
        assert_eq!((dropped.load(SeqCst), map.len_hint(), map.bytes_hint()), (2, 0, 0));
        assert!((0..4).all(|number| map.get(cx, &Key::new(number)).is_none()));
        map.insert(cx, Static(Key::new(2)), page(cx, 2));
        assert!(map.get(cx, &Key::new(2)).is_some());
        // What an insertion drops, it drops when all else is done.
        map.set_limit(cx, None);
        dropped.store(1, SeqCst);
        (10..19).for_each(|number| _ = map.insert(cx, bad(number), page(cx, number)));
        dropped.store(0, SeqCst);
        let limit = Some(MapLimit::Bytes(30));
        assert_eq!(panic_of(|| map.set_limit(cx, limit)), "cannot go", "two of them");
        assert_eq!((map.len_hint(), map.bytes_hint(), dropped.load(SeqCst)), (3, 30, 6));
        dropped.store(0, SeqCst);
        let large = cx.evictable_with_size(cx.alloc(9u64), 30);
        assert_eq!(panic_of(|| map.insert(cx, bad(9), large)), "cannot go");
        assert_eq!((map.len_hint(), map.bytes_hint(), dropped.load(SeqCst)), (1, 30, 3));
        assert!(map.get(cx, &Key::new(9)).is_some());
    });
}
