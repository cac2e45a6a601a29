//! Weak value maps: objects found by a key, and kept by somebody else.

use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::probe::Drops;

type Names<'gc> = WeakValueMap<'gc, String, u64>;

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

/// The keys that a map shows, in order.
fn keys<'gc>(cx: &impl Access<'gc>, map: &Names<'gc>) -> Vec<String> {
    let mut keys: Vec<_> = map.iter(cx).map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn assert_clean(space: &Space) {
    let report = space.verify().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_map_keeps_no_object_and_shows_no_dead_one() {
    let space = manual();
    let mut map = space.exclusive(|cx| cx.own_root(Names::new()));
    let roots: Vec<_> = space.exclusive(|cx| {
        let map = map.get_mut(cx);
        let objects: Vec<_> = (0..100).map(|i| cx.alloc(i)).collect();
        objects.iter().for_each(|object| {
            assert!(map.insert(cx, format!("name {}", **object), *object).is_none());
        });
        objects.iter().step_by(3).map(|object| cx.root(*object)).collect()
    });
    space.collect().unwrap();
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        for i in 0..100 {
            let key = format!("name {i}");
            let root = (i % 3 == 0).then(|| roots[i / 3].get(cx));
            assert_eq!(map.get(cx, key.as_str()), root);
            assert_eq!(map.contains(cx, &key), root.is_some());
        }
        assert_eq!((map.iter(cx).count(), map.len_hint()), (34, 100));
        assert_eq!((map.purge(cx), map.len_hint()), (66, 34));
    });
    assert_clean(&space);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 68, "an object and a weak reference for each entry");
    drop(roots);
    space.collect().unwrap();
    space.shared(|cx| assert_eq!(keys(cx, map.get(cx)), [""; 0]));
}

#[test]
fn entries_are_replaced_and_taken_out() {
    let space = manual();
    space.exclusive(|cx| {
        let mut map = WeakValueMap::new();
        let (a, b) = (cx.alloc(1u64), cx.alloc(2u64));
        assert_eq!(map.insert(cx, (1u32, 'x'), a), None);
        assert_eq!(map.insert(cx, (1, 'x'), b), Some(a));
        assert_eq!(map.insert(cx, (2, 'x'), a), None);
        assert_eq!(map.get(cx, &(1, 'x')), Some(b));
        assert_eq!(map.remove(cx, &(1, 'x')), Some(b));
        assert_eq!(map.remove(cx, &(1, 'x')), None);
        map.retain(cx, |key, object| *key == (2, 'x') && Gc::ptr_eq(object, a));
        assert_eq!(map.len_hint(), 1);
        map.retain(cx, |_, _| false);
        assert_eq!(map.len_hint(), 0);
    });
}

#[test]
fn an_entry_of_a_dead_object_is_set_anew() {
    let space = manual();
    let mut map = space.exclusive(|cx| cx.own_root(Names::new()));
    for number in 0..20 {
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            assert_eq!(map.insert(cx, "again".to_string(), cx.alloc(number)), None);
            assert_eq!(**map.get(cx, "again").as_ref().unwrap(), number);
        });
        space.collect().unwrap();
    }
    space.exclusive(|cx| assert_eq!(map.get_mut(cx).remove(cx, "again"), None));
}

/// A key whose drop is counted.
#[derive(IObject)]
struct Key {
    number: u64,
    probe: Static<crate::probe::Probe>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.number == other.number
    }
}
impl Eq for Key {}
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

#[test]
#[cfg_attr(miri, ignore = "20,000 entries")]
fn keys_are_dropped_by_mutators_and_the_map_stays_small() {
    let (space, drops) = (manual(), Drops::new());
    let mut map = space.exclusive(|cx| cx.own_root(WeakValueMap::<Key, u64>::new()));
    for round in 0..20 {
        let before = drops.count();
        space.collect().unwrap();
        assert_eq!(drops.count(), before, "no user's drop runs in a collection");
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            for i in 0..1000 {
                map.insert(cx, Key { number: round * 1000 + i, probe: drops.probe() }, cx.alloc(i));
            }
            assert!(map.len_hint() < 4000, "{} entries", map.len_hint());
        });
    }
    assert!(drops.count() > 10_000);
    drop(map);
    space.collect().unwrap();
    assert_eq!(drops.count(), 20_000);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn handles_in_keys_are_strong() {
    let (space, drops) = (manual(), Drops::new());
    type ByObject<'gc> = WeakValueMap<
        'gc,
        Gc<'gc, Static<crate::probe::Probe>>,
        u64,
        BuildHasherDefault<DefaultHasher>,
    >;
    let mut map = space.exclusive(|cx| cx.own_root(ByObject::with_hasher(Default::default())));
    space.exclusive(|cx| _ = map.get_mut(cx).insert(cx, cx.alloc(drops.probe()), cx.alloc(1)));
    space.collect().unwrap();
    assert_eq!(drops.count(), 0, "the entry is dead, but still there");
    assert_clean(&space);
    space.exclusive(|cx| {
        let map = map.get_mut(cx);
        assert_eq!((map.iter(cx).count(), map.purge(cx)), (0, 1));
    });
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (1, 0));
}

#[test]
fn an_object_that_a_reader_roots_during_the_mark_stays_in_the_map() {
    let space = manual();
    let root = space.exclusive(|cx| {
        let table = cx.alloc(GcCell::new(Names::new()));
        let (alloc, cells) = cx.split();
        table.borrow_mut(cells).insert(alloc, "kept".to_string(), alloc.alloc(1));
        table.borrow_mut(cells).insert(alloc, "dead".to_string(), alloc.alloc(2));
        alloc.root(table)
    });
    let claim = space.try_claim_cycle().unwrap();
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    phase.mark().unwrap();
    let kept = std::thread::scope(|threads| {
        let read = || space.shared(|cx| cx.root(root.get(cx).borrow(cx).get(cx, "kept").unwrap()));
        threads.spawn(read).join().unwrap()
    });
    let (batch, _) = phase.try_finish(Duration::from_secs(60)).ok().unwrap().condemn().unwrap();
    space.shared(|cx| assert_eq!(keys(cx, root.get(cx).borrow(cx)), ["kept"]));
    batch.reclaim().ok().unwrap();
    space.shared(|cx| assert_eq!(*kept.get(cx), 1));
    assert_clean(&space);
}
