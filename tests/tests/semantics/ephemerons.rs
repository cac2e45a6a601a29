//! Ephemeron maps: a value lives while its map and its key do, and keeps neither.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cspace::collector::{Batch, ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::collect::PanicsOnVisit;
use crate::probe::{Drops, Probe};
use crate::watchdog::{panic_of, within};

/// An object that is a key, or a value, or both.
#[derive(IObject)]
struct Thing<'gc> {
    number: usize,
    link: Slot<'gc, Option<GcAny<'gc>>>,
    probe: Static<Probe>,
}

type Key<'gc> = Gc<'gc, Thing<'gc>>;
type Map<'gc> = EphemeronMap<'gc, Key<'gc>, GcAny<'gc>>;
type OwnedMap = OwnedRoot<Rootable![Map<'_>]>;
type ThingRoot = GcRoot<Rootable![Thing<'_>]>;

/// A map as an object of its own.
type MapObject<'gc> = GcCell<'gc, Map<'gc>>;

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

fn owned(space: &CSpace) -> OwnedMap {
    space.exclusive(|cx| cx.own_root(Map::new()))
}

fn thing<'gc>(cx: &Alloc<'gc>, number: usize, drops: &Drops) -> Key<'gc> {
    cx.alloc(Thing { number, link: Slot::new(None), probe: drops.probe() })
}

fn map_object<'gc>(cx: &Alloc<'gc>) -> Gc<'gc, MapObject<'gc>> {
    cx.alloc(GcCell::new(Map::new()))
}

fn put<'gc>(
    cx: &mut Exclusive<'gc>,
    map: Gc<'gc, MapObject<'gc>>,
    key: Key<'gc>,
    value: impl Into<GcAny<'gc>>,
) {
    let (alloc, cells) = cx.split();
    map.borrow_mut(cells).insert(alloc, key, value.into());
}

/// The numbers of the keys that a map shows, in order.
fn keys<'gc>(cx: &impl Access<'gc>, map: &Map<'gc>) -> Vec<usize> {
    let mut keys: Vec<_> = map.iter(cx).map(|(key, _)| key.number).collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn assert_clean(space: &Space) {
    let report = space.verify().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn begin(space: &Space) -> MarkPhase {
    MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER).unwrap()
}

fn finish(phase: MarkPhase) -> Result<(Batch, CollectReport), CollectError> {
    phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside").condemn()
}

fn reclaim(batch: Batch) -> usize {
    batch.reclaim().ok().expect("this thread holds nothing").objects_reclaimed
}

#[test]
fn a_value_is_kept_while_its_key_is_and_no_longer() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    let root = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        let key = thing(cx, 1, &drops);
        map.insert(cx, key, thing(cx, 2, &drops).into());
        map.insert(cx, thing(cx, 3, &drops), thing(cx, 4, &drops).into());
        cx.root(key)
    });
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [1, 3], "nothing was collected yet"));
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (2, 2));
    space.shared(|cx| {
        let value = map.get(cx).get(cx, root.get(cx)).unwrap();
        assert_eq!(value.downcast::<Thing<'_>>().unwrap().number, 2);
        assert_eq!(keys(cx, map.get(cx)), [1]);
    });
    assert_clean(&space);
    drop(root);
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (4, 0));
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        assert_eq!(keys(cx, map), [0; 0]);
        assert_eq!((map.len_hint(), map.purge(cx), map.len_hint(), map.purge(cx)), (2, 2, 0, 0));
    });
    assert_clean(&space);
}

#[test]
fn entries_are_set_changed_replaced_and_taken_out() {
    let space = manual();
    space.exclusive(|cx| {
        let mut map = EphemeronMap::new();
        let (a, b) = (cx.alloc(1u64), cx.alloc(1u64));
        assert!(map.insert(cx, a, "a".to_string()).is_none());
        assert!(map.insert(cx, b, "b".to_string()).is_none(), "keys are objects, not contents");
        assert_eq!(map.insert(cx, a, "c".to_string()).as_deref(), Some("a"));
        map.get_mut(cx, b).unwrap().push('!');
        assert_eq!(map.get(cx, a).map(String::as_str), Some("c"));
        assert_eq!(map.get(cx, b).map(String::as_str), Some("b!"));
        assert!(map.contains(cx, a) && !map.contains(cx, cx.alloc(1)));
        assert_eq!(map.remove(cx, a).as_deref(), Some("c"));
        assert!(map.remove(cx, a).is_none() && map.get_mut(cx, a).is_none());
        map.retain(cx, |key, text| Gc::ptr_eq(key, b) && text.len() == 2);
        assert_eq!(map.len_hint(), 1);
        map.retain(cx, |_, _| false);
        assert_eq!(map.len_hint(), 0);
    });
}

#[test]
fn objects_of_any_type_are_keys_in_one_map() {
    let space = manual();
    let mut map = space.exclusive(|cx| cx.own_root(EphemeronMap::<GcAny<'_>, u64>::new()));
    let roots = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        let (number, text) = (cx.alloc(5u64), cx.alloc("text".to_string()));
        map.insert(cx, number.into(), 1);
        map.insert(cx, text.into(), 2);
        map.insert(cx, cx.alloc(6u64).into(), 3);
        (cx.root(number), cx.root(text))
    });
    space.collect().unwrap();
    space.shared(|cx| {
        let map = map.get(cx);
        assert_eq!(map.get(cx, roots.0.get(cx).into()), Some(&1));
        assert_eq!(map.get(cx, roots.1.get(cx).into()), Some(&2));
        assert_eq!(map.iter(cx).count(), 2);
    });
}

#[test]
fn a_key_that_is_its_own_value_is_not_kept_by_it() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    let root = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        for number in 0..10 {
            let key = thing(cx, number, &drops);
            map.insert(cx, key, key.into());
        }
        let kept = map.iter(cx).find(|(key, _)| key.number == 7).unwrap().0;
        cx.root(kept)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 9);
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [7]));
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn a_value_that_refers_to_its_key_does_not_keep_it() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    let root = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        let pairs: Vec<_> =
            (0..10).map(|i| (thing(cx, i, &drops), thing(cx, 100 + i, &drops))).collect();
        for (key, value) in &pairs {
            // By way of another object.
            let between = thing(cx, 0, &drops);
            between.link.set(cx, Some((*key).into()));
            value.link.set(cx, Some(between.into()));
            map.insert(cx, *key, (*value).into());
        }
        cx.root(pairs[3].0)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 27);
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [3]));
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

/// A value that counts how often it is looked at.
struct Counted<'gc> {
    next: Option<Gc<'gc, Slot<'gc, u64>>>,
    visits: Arc<AtomicUsize>,
}

struct CountedFamily;
impl Rootable for CountedFamily {
    type At<'gc> = Counted<'gc>;
}
// SAFETY: the one handle is visited, and the drop touches no object.
unsafe impl<'gc> IObject<'gc> for Counted<'gc> {
    type R = CountedFamily;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        self.visits.fetch_add(1, SeqCst);
        self.next.visit_objects(visitor);
    }
}

type CountedMap<'gc> = EphemeronMap<'gc, Gc<'gc, Slot<'gc, u64>>, Counted<'gc>>;

/// The root of the first key of a chain of so many entries, spread over maps; entry `i` goes into map `map_of(i)`.
fn chain(
    space: &CSpace,
    maps: &mut OwnedRoot<Rootable![Vec<CountedMap<'_>>]>,
    count: usize,
    order: impl Fn(usize) -> usize,
    map_of: impl Fn(usize) -> usize,
) -> (GcRoot<Rootable![Slot<'_, u64>]>, Arc<AtomicUsize>) {
    let visits = Arc::new(AtomicUsize::new(0));
    let root = space.exclusive(|cx| {
        let keys: Vec<_> = (0..=count).map(|i| cx.alloc(Slot::new(i as u64))).collect();
        let maps = maps.get_mut(cx);
        for at in (0..count).map(order) {
            let value = Counted { next: Some(keys[at + 1]), visits: Arc::clone(&visits) };
            maps[map_of(at)].insert(cx, keys[at], value);
        }
        cx.root(keys[0])
    });
    (root, visits)
}

#[test]
#[cfg_attr(miri, ignore = "chains of 2,000")]
fn chains_converge_in_any_order_and_each_value_is_looked_at_once() {
    for count in [500, 2000] {
        let orders: [&dyn Fn(usize) -> usize; 3] =
            [&|i| i, &|i| count - 1 - i, &|i| i * 7919 % count];
        for order in orders {
            let map_ofs: [&dyn Fn(usize) -> usize; 4] =
                [&|_| 0, &|i| i, &|i| count - 1 - i, &|i| i % 3];
            for map_of in map_ofs {
                let space = manual();
                let mut maps = space.exclusive(|cx| {
                    cx.own_root((0..count).map(|_| CountedMap::new()).collect::<Vec<_>>())
                });
                let (root, visits) = chain(&space, &mut maps, count, order, map_of);
                for _ in 0..2 {
                    visits.store(0, SeqCst);
                    let report = space.collect().unwrap();
                    assert_eq!((report.objects_live, report.objects_reclaimed), (count + 1, 0));
                    assert_eq!(visits.load(SeqCst), count);
                }
                drop(root);
                visits.store(0, SeqCst);
                assert_eq!(space.collect().unwrap().objects_reclaimed, count + 1);
                assert_eq!(visits.load(SeqCst), 0, "the values of dead keys are not looked at");
            }
        }
    }
}

#[test]
fn all_entries_of_a_key_come_with_it() {
    let space = manual();
    let mut maps = space
        .exclusive(|cx| cx.own_root((0..9).map(|_| EphemeronMap::new()).collect::<Vec<Map<'_>>>()));
    let drops = Drops::new();
    let root = space.exclusive(|cx| {
        let (first, key) = (thing(cx, 0, &drops), thing(cx, 1, &drops));
        // The last one is looked through first: the others wait for a key that it reaches, or it for one of theirs.
        for (number, map) in maps.get_mut(cx).iter_mut().enumerate() {
            map.insert(cx, key, thing(cx, 10 + number, &drops).into());
            if number == 4 {
                map.insert(cx, first, key.into());
            }
        }
        cx.root(first)
    });
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (0, 11));
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn leaves_are_keys_too() {
    let space = manual();
    // Reached by a handle that knows that there is nothing to look into, and by one that does not.
    let mut maps = space.exclusive(|cx| {
        cx.own_root((
            EphemeronMap::<Gc<'_, u64>, Gc<'_, u64>>::new(),
            EphemeronMap::<Gc<'_, u64>, GcAny<'_>>::new(),
        ))
    });
    let root = space.exclusive(|cx| {
        let keys: Vec<_> = (0..100).map(|i| cx.alloc(i)).collect();
        let (typed, any) = maps.get_mut(cx);
        for pair in keys.windows(2) {
            if *pair[0] % 2 == 0 {
                typed.insert(cx, pair[0], pair[1]);
            } else {
                any.insert(cx, pair[0], pair[1].into());
            }
        }
        cx.root(keys[20])
    });
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 80);
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn a_map_within_a_value_of_its_own_keeps_itself_no_more_than_other_maps() {
    let (space, drops) = (manual(), Drops::new());
    let make = || {
        space.exclusive(|cx| {
            let (map, key) = (map_object(cx), thing(cx, 1, &drops));
            put(cx, map, key, map);
            (cx.root(map), cx.root(key))
        })
    };
    let (map, key) = make();
    space.collect().unwrap();
    space.shared(|cx| {
        let value = *map.get(cx).borrow(cx).get(cx, key.get(cx)).unwrap();
        assert!(GcAny::ptr_eq(value, map.get(cx).into()));
    });
    drop(map);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 1, "the key does not reach the map");
    drop(key);
    let (map, key) = make();
    drop(key);
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx).borrow(cx)), [0; 0]));
    assert_eq!((space.num_objects(), drops.count()), (1, 2));
}

#[test]
fn a_map_as_a_value_in_a_map_is_reached_with_its_key() {
    type Nested<'gc> = EphemeronMap<'gc, Key<'gc>, Map<'gc>>;
    let (space, drops) = (manual(), Drops::new());
    let mut outer = space.exclusive(|cx| cx.own_root(Nested::new()));
    let (first, second) = space.exclusive(|cx| {
        let (first, second) = (thing(cx, 1, &drops), thing(cx, 2, &drops));
        let mut inner = Map::new();
        inner.insert(cx, second, thing(cx, 3, &drops).into());
        outer.get_mut(cx).insert(cx, first, inner);
        (cx.root(first), cx.root(second))
    });
    for _ in 0..2 {
        space.collect().unwrap();
        assert_eq!(drops.count(), 0);
        assert_clean(&space);
    }
    drop(second);
    space.collect().unwrap();
    assert_eq!(drops.count(), 2);
    space.shared(|cx| {
        let inner = outer.get(cx).get(cx, first.get(cx)).unwrap();
        assert_eq!((inner.iter(cx).count(), inner.len_hint()), (0, 1));
    });
    drop(first);
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (3, 0));
}

#[test]
fn two_maps_that_depend_on_each_other_keep_only_what_is_reached_from_outside() {
    let (space, drops) = (manual(), Drops::new());
    let (maps, roots) = space.exclusive(|cx| {
        let (a, b) = (map_object(cx), map_object(cx));
        let key: [Key<'_>; 4] = std::array::from_fn(|number| thing(cx, number, &drops));
        put(cx, a, key[0], key[1]);
        put(cx, b, key[1], key[0]);
        // The second map is known only by the first.
        let hidden = map_object(cx);
        put(cx, a, key[2], hidden);
        put(cx, hidden, key[3], key[2]);
        ((cx.root(a), cx.root(b)), key.map(|key| cx.root(key)))
    });
    let [first, second, third, fourth] = roots;
    drop(first);
    space.collect().unwrap();
    assert_eq!(drops.count(), 0, "0 is the value of 1 in `b`");
    drop(second);
    space.collect().unwrap();
    assert_eq!(drops.count(), 2, "0 and 1 keep only each other");
    drop(third);
    space.collect().unwrap();
    assert_eq!(drops.count(), 3, "2 keeps the map that has it as a value, but is not kept by it");
    assert_eq!(space.num_objects(), 3);
    drop(fourth);
    drop(maps);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn a_dead_map_keeps_no_values_though_their_keys_live() {
    let (space, drops) = (manual(), Drops::new());
    let (map, key) = space.exclusive(|cx| {
        let (map, key) = (map_object(cx), thing(cx, 1, &drops));
        put(cx, map, key, thing(cx, 2, &drops));
        (cx.root(map), cx.root(key))
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    drop(map);
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (1, 1));
    space.shared(|cx| assert_eq!(key.get(cx).number, 1));
}

#[test]
fn a_value_is_dropped_by_a_mutator_and_once() {
    let (space, drops) = (manual(), Drops::new());
    let mut map =
        space.exclusive(|cx| cx.own_root(EphemeronMap::<Gc<'_, u64>, Static<Probe>>::new()));
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        (0..10).for_each(|i| _ = map.insert(cx, cx.alloc(i), drops.probe()));
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0, "no user's drop runs in a collection");
    space.exclusive(|cx| assert_eq!(map.get_mut(cx).purge(cx), 10));
    assert_eq!(drops.count(), 10);
    space.exclusive(|cx| _ = map.get_mut(cx).insert(cx, cx.alloc(1), drops.probe()));
    drop(map);
    space.collect().unwrap();
    assert_eq!(drops.count(), 11, "the rest goes with the map");
}

#[test]
fn insertions_drop_dead_values_and_a_panic_of_one_leaves_the_map_whole() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a drop panics");
        }
    }
    type Panicking<'gc> = EphemeronMap<'gc, Gc<'gc, u64>, Option<Static<Panics>>>;
    let space = manual();
    let mut map = space.exclusive(|cx| cx.own_root(Panicking::new()));
    let root = space.exclusive(|cx| {
        let (map, kept) = (map.get_mut(cx), cx.alloc(0));
        map.insert(cx, kept, None);
        (1..20).for_each(|i| _ = map.insert(cx, cx.alloc(i), (i == 7).then(|| Static(Panics))));
        cx.root(kept)
    });
    space.collect().unwrap();
    let message = panic_of(|| {
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            (0..100).for_each(|i| _ = map.insert(cx, cx.alloc(i), None));
        })
    });
    assert_eq!(message, "a drop panics");
    space.clear_poison();
    space.collect().unwrap();
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        map.purge(cx);
        assert_eq!((map.len_hint(), map.contains(cx, root.get(cx))), (1, true));
    });
}

#[test]
#[cfg_attr(miri, ignore = "thousands of entries")]
fn a_map_stays_as_large_as_what_it_shows() {
    let space = manual();
    let mut map = space.exclusive(|cx| cx.own_root(EphemeronMap::<Gc<'_, u64>, u64>::new()));
    // Takes the addresses of dead keys, or new ones would take their entries.
    let mut filler = space.exclusive(|cx| cx.own_root(Vec::<Gc<'_, u64>>::new()));
    let kept: Vec<_> = (0..50)
        .map(|round| {
            let kept = space.exclusive(|cx| {
                let (map, filler) = (map.get_mut(cx), filler.get_mut(cx));
                filler.extend((0..2000).map(|i| cx.alloc(i)));
                (0..1000).for_each(|i| _ = map.insert(cx, cx.alloc(i), i));
                let kept = cx.alloc(round);
                map.insert(cx, kept, round);
                assert!(map.len_hint() < 4000, "{} entries", map.len_hint());
                cx.root(kept)
            });
            space.collect().unwrap();
            kept
        })
        .collect();
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        assert_eq!(map.iter(cx).count(), 50);
        assert!(kept.iter().all(|key| map.get(cx, key.get(cx)) == Some(&*key.get(cx))));
        map.purge(cx);
        assert_eq!(map.len_hint(), 50);
    });
}

#[test]
#[cfg_attr(miri, ignore = "tens of thousands of objects")]
fn a_new_object_at_the_address_of_a_dead_key_does_not_find_its_entry() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    let dead = space.exclusive(|cx| {
        let key = thing(cx, 1, &drops);
        map.get_mut(cx).insert(cx, key, thing(cx, 2, &drops).into());
        key.addr()
    });
    space.collect().unwrap();
    let root = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        let again = (0..100_000).map(|_| thing(cx, 3, &drops)).find(|new| new.addr() == dead);
        let again = again.expect("memory is used again");
        assert!(!map.contains(cx, again) && map.get(cx, again).is_none());
        assert!(map.get_mut(cx, again).is_none());
        assert_eq!((map.iter(cx).count(), map.len_hint()), (0, 1));
        assert!(map.insert(cx, again, again.into()).is_none(), "the old value is not shown");
        assert_eq!((keys(cx, map), map.len_hint()), (vec![3], 1));
        cx.root(again)
    });
    space.collect().unwrap();
    space.shared(|cx| {
        let value = map.get(cx).get(cx, root.get(cx));
        assert!(GcAny::ptr_eq(*value.unwrap(), root.get(cx).into()));
    });
    drop(root);
    space.collect().unwrap();
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        let again = (0..100_000).map(|_| thing(cx, 3, &drops)).find(|new| new.addr() == dead);
        assert!(map.remove(cx, again.expect("memory is used again")).is_none());
        assert_eq!(map.len_hint(), 0, "the dead entry is gone nevertheless");
    });
}

/// The memory of an object this large is unmapped a collection after its death.
#[test]
#[cfg_attr(miri, ignore = "objects of 300,000 bytes made byte by byte")]
fn nobody_looks_at_the_memory_of_a_dead_key() {
    let space = manual();
    let mut map =
        space.exclusive(|cx| cx.own_root(EphemeronMap::<Gc<'_, Slice<u64>>, Gc<'_, u64>>::new()));
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        (0..4).for_each(|_| _ = map.insert(cx, cx.alloc_slice(300_000, |_| 0), cx.alloc(1)));
    });
    for _ in 0..4 {
        space.collect().unwrap();
        assert_clean(&space);
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            assert_eq!(map.iter(cx).count(), 0);
            // A slice of another size, so that the old ones' room is not what it gets.
            assert!(!map.contains(cx, cx.alloc_slice(3, |_| 0)));
        });
    }
    space.exclusive(|cx| assert_eq!(map.get_mut(cx).purge(cx), 4));
}

/// A space whose test is its collector, with a map of one entry and a weak reference to its key.
struct Late {
    space: CSpace,
    drops: Drops,
    map: OwnedMap,
    weak: WeakRoot<Rootable![Thing<'_>]>,
}

impl Late {
    /// The entry's value is a chain of keys: 1 to 2 to 3 to an object with number 4.
    fn new() -> Late {
        let (space, drops) = (manual(), Drops::new());
        let mut map = owned(&space);
        let weak = space.exclusive(|cx| {
            let map = map.get_mut(cx);
            let things: Vec<_> = (1..=4).map(|number| thing(cx, number, &drops)).collect();
            for pair in things.windows(2) {
                map.insert(cx, pair[0], pair[1].into());
            }
            cx.weak_root(things[0])
        });
        Late { space, drops, map, weak }
    }

    /// What a reader does on a thread of its own.
    fn read<R: Send>(&self, f: impl for<'gc> FnOnce(&Shared<'gc>) -> R + Send) -> R {
        thread::scope(|threads| threads.spawn(|| self.space.shared(f)).join().unwrap())
    }

    fn root_key(&self) -> ThingRoot {
        self.read(|cx| cx.root(self.weak.upgrade(cx).unwrap()))
    }

    fn assert_all_alive(&self) {
        assert_eq!(self.drops.count(), 0);
        self.space.shared(|cx| {
            let map = self.map.get(cx);
            assert_eq!(keys(cx, map), [1, 2, 3]);
            let mut at = self.weak.upgrade(cx).unwrap();
            while let Some(next) = map.get(cx, at) {
                at = next.downcast().unwrap();
            }
            assert_eq!(at.number, 4);
        });
    }
}

#[test]
fn a_key_that_a_reader_roots_during_the_mark_brings_its_values() {
    within(|| {
        let late = Late::new();
        let mut phase = begin(&late.space);
        phase.mark().unwrap();
        let root = late.root_key();
        assert_eq!(phase.drain_late(), Ok(1));
        let (batch, report) = finish(phase).unwrap();
        assert_eq!(report.objects_reclaimed, 0);
        late.assert_all_alive();
        assert_eq!(reclaim(batch), 0);
        late.assert_all_alive();
        assert_clean(&late.space);
        drop(root);
        late.space.collect().unwrap();
        assert_eq!(late.drops.count(), 4);
    });
}

#[test]
fn a_key_that_only_the_finish_finds_brings_its_values() {
    within(|| {
        let late = Late::new();
        let mut phase = begin(&late.space);
        phase.mark().unwrap();
        assert_eq!(phase.drain_late(), Ok(0));
        let root = late.root_key();
        let (batch, report) = finish(phase).unwrap();
        assert_eq!(report.objects_reclaimed, 0);
        late.assert_all_alive();
        reclaim(batch);
        late.assert_all_alive();
        assert_clean(&late.space);
        drop(root);
    });
}

#[test]
fn a_reader_finds_keys_and_values_in_the_map_during_the_mark_and_may_root_them() {
    within(|| {
        let late = Late::new();
        let mut phase = begin(&late.space);
        phase.mark().unwrap();
        // The second key, with its value; and the first value, which is the same.
        let (key, value) = late.read(|cx| {
            let map = late.map.get(cx);
            assert_eq!(keys(cx, map), [1, 2, 3], "nothing is condemned yet");
            let (first, value) = map.iter(cx).find(|(key, _)| key.number == 1).unwrap();
            assert!(GcAny::ptr_eq(*map.get(cx, first).unwrap(), *value));
            let third = map.iter(cx).find(|(key, _)| key.number == 3).unwrap().1;
            let second = value.downcast::<Thing<'_>>().unwrap();
            (cx.root(second), cx.root(third.downcast::<Thing<'_>>().unwrap()))
        });
        let (batch, _) = finish(phase).unwrap();
        assert_eq!(reclaim(batch), 1);
        late.space.shared(|cx| {
            assert!(late.weak.is_dead(cx));
            assert_eq!(keys(cx, late.map.get(cx)), [2, 3]);
            assert_eq!(value.get(cx).number, 4);
        });
        drop(key);
        late.space.collect().unwrap();
        late.space.shared(|cx| {
            assert_eq!(keys(cx, late.map.get(cx)), [0; 0]);
            assert_eq!(value.get(cx).number, 4);
        });
        assert_eq!(late.drops.count(), 3);
        assert_clean(&late.space);
    });
}

#[test]
fn what_is_inserted_between_finish_and_sweep_stays() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    let old = space.exclusive(|cx| {
        let key = thing(cx, 1, &drops);
        map.get_mut(cx).insert(cx, key, key.into());
        map.get_mut(cx).insert(cx, thing(cx, 2, &drops), key.into());
        cx.root(key)
    });
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let (batch, _) = finish(phase).unwrap();
    let new = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        assert_eq!(keys(cx, map), [1]);
        let key = thing(cx, 3, &drops);
        map.insert(cx, key, thing(cx, 4, &drops).into());
        cx.root(key)
    });
    assert_eq!(reclaim(batch), 1);
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [1, 3]));
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [1, 3]));
    assert_eq!(drops.count(), 1);
    drop((old, new));
}

#[test]
fn a_visit_of_a_value_that_panics_gives_the_cycle_up_and_nothing_is_lost() {
    type Panicking<'gc> = EphemeronMap<'gc, Gc<'gc, u64>, Gc<'gc, PanicsOnVisit>>;
    let space = manual();
    let mut map = space.exclusive(|cx| cx.own_root(Panicking::new()));
    let make = |map: &mut OwnedRoot<Rootable![Panicking<'_>]>| {
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            let key = cx.alloc(1u64);
            (2..100).for_each(|i| _ = map.insert(cx, cx.alloc(i), cx.alloc(PanicsOnVisit::new())));
            map.insert(cx, key, cx.alloc(PanicsOnVisit::new()));
            (cx.weak_root(key), cx.root(key))
        })
    };
    let panicked = || Err(CollectError::VisitPanicked { message: "cannot look".to_string() });
    let (weak, root) = make(&mut map);
    for _ in 0..3 {
        assert_eq!(space.collect().map(drop), panicked());
        space.shared(|cx| assert_eq!(map.get(cx).iter(cx).count(), 99));
    }
    space.shared(|cx| map.get(cx).get(cx, root.get(cx)).unwrap().calm());
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(map.get(cx).iter(cx).count(), 1));
    assert_clean(&space);
    drop((root, weak));
    // In the finish: only a reader's root reaches the value.
    let (weak, root) = make(&mut map);
    drop(root);
    let mut phase = begin(&space);
    phase.mark().unwrap();
    let root = thread::scope(|threads| {
        let reader = || space.shared(|cx| cx.root(weak.upgrade(cx).unwrap()));
        threads.spawn(reader).join().unwrap()
    });
    assert_eq!(finish(phase).err().map(Err), Some(panicked()));
    space.shared(|cx| {
        assert_eq!(map.get(cx).iter(cx).count(), 100, "one of before");
        map.get(cx).get(cx, root.get(cx)).unwrap().calm();
    });
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(map.get(cx).iter(cx).count(), 1));
}

/// A cycle that is given up has stamped entries whose keys may be dead by the next one.
#[test]
fn a_cycle_that_was_given_up_keeps_nothing() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    for finished in [false, true] {
        let root = space.exclusive(|cx| {
            let key = thing(cx, 1, &drops);
            map.get_mut(cx).insert(cx, key, key.into());
            cx.root(key)
        });
        for _ in 0..3 {
            let mut phase = begin(&space);
            phase.mark().unwrap();
            if finished {
                drop(phase.try_finish(Duration::from_secs(60)).ok().unwrap());
            }
        }
        space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [1]));
        drop(root);
        space.collect().unwrap();
        space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [0; 0]));
        assert_clean(&space);
    }
    assert_eq!(drops.count(), 2);
}

#[test]
fn maps_and_keys_go_along_in_a_merge() {
    // A space with many cycles behind it into one with none, and the other way round.
    for (cycles_before, cycles_of_target) in [(5, 0), (0, 5)] {
        let (target, source, drops) = (manual(), manual(), Drops::new());
        (0..cycles_of_target).for_each(|_| _ = target.collect().unwrap());
        let mut map = owned(&source);
        let mut insert = |space: &CSpace, number| {
            space.exclusive(|cx| {
                let map = map.get_mut(cx);
                let key = thing(cx, number, &drops);
                map.insert(cx, key, thing(cx, 100, &drops).into());
                map.insert(cx, thing(cx, 101, &drops), key.into());
                cx.root(key)
            })
        };
        let before = insert(&source, 1);
        (0..cycles_before).for_each(|_| _ = source.collect().unwrap());
        let between = insert(&source, 2);
        target.transfer_from(&source).unwrap();
        let after = insert(&target, 3);
        target.collect().unwrap();
        target.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [1, 2, 3]));
        assert_eq!(drops.count(), 3);
        assert_clean(&target);
        drop((before, between));
        target.collect().unwrap();
        target.shared(|cx| {
            assert_eq!(keys(cx, map.get(cx)), [3]);
            assert!(map.get(cx).contains(cx, after.get(cx)));
        });
        assert_eq!(drops.count(), 7);
        assert_clean(&target);
    }
}

#[test]
fn verify_sees_keys_and_values_of_entries_that_show() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = owned(&space);
    let root = space.exclusive(|cx| {
        let key = thing(cx, 1, &drops);
        map.get_mut(cx).insert(cx, key, thing(cx, 2, &drops).into());
        map.get_mut(cx).insert(cx, thing(cx, 3, &drops), key.into());
        cx.root(key)
    });
    let report = space.verify().unwrap();
    assert_eq!((report.objects, report.edges, report.is_clean()), (3, 5, true), "{report}");
    space.collect().unwrap();
    let report = space.verify().unwrap();
    assert_eq!((report.objects, report.edges, report.is_clean()), (2, 3, true), "{report}");
    drop(root);
}

#[test]
#[cfg_attr(miri, ignore = "1,000 entries and texts of 1 MiB")]
fn what_a_map_owns_is_known_to_the_collector() {
    let space = manual();
    let root = space.exclusive(|cx| {
        let map = cx.alloc(GcCell::new(EphemeronMap::<Gc<'_, u64>, [u64; 16]>::new()));
        let texts = cx.alloc(GcCell::new(EphemeronMap::<Gc<'_, u64>, String>::new()));
        let (alloc, cells) = cx.split();
        let keys: Vec<_> = (0..1000).map(|i| alloc.alloc(i)).collect();
        keys.iter().for_each(|key| _ = map.borrow_mut(cells).insert(alloc, *key, [0; 16]));
        texts.borrow_mut(cells).insert(alloc, keys[0], "x".repeat(1 << 20));
        (alloc.root(map), alloc.root(alloc.alloc((texts, keys[0]))))
    });
    // The table, and what the values whose keys live own.
    let (table, text) = (1000 * 128, 1 << 20);
    let report = space.collect().unwrap();
    assert!(report.bytes_external >= table + text, "{report:?}");
    drop(root.0);
    let report = space.collect().unwrap();
    assert!((text..table + text).contains(&report.bytes_external), "{report:?}");
    drop(root.1);
    assert_eq!(space.collect().unwrap().bytes_external, 0);
}
