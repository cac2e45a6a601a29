//! Evictable caches: one load for a key at a time, loads that fail and that ask for each other, keys that misbehave,
//! entries that go.

use std::cell::Cell;
use std::convert::Infallible;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use cspace::*;

use crate::keys::Key;
use crate::probe::{on_drop, Drops};
use crate::watchdog::{panic_of, within};

type Cache = EvictableCache<u32, u64>;

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

fn with_cache() -> (CSpace, Cache) {
    let space = manual();
    let cache = space.exclusive(|cx| Cache::new(cx));
    (space, cache)
}

fn load<K: std::hash::Hash + Eq + Clone + Send + Sync + 'static, E>(
    space: &Space,
    cache: &EvictableCache<K, u64>,
    key: &K,
    load: impl FnOnce() -> Result<u64, E>,
) -> Result<u64, LoadError<E>> {
    let root = cache.get_or_load(space, key, load, |cx, loaded| cx.alloc(loaded))?;
    Ok(space.shared(|cx| *root.get(cx)))
}

fn never() -> Result<u64, Infallible> {
    panic!("it is there, or must not be loaded")
}

/// The keys and values that are there, in order.
fn entries(space: &Space, cache: &Cache) -> Vec<(u32, u64)> {
    let mut entries = Vec::new();
    space.shared(|cx| cache.for_each(cx, |key, value| entries.push((*key, *value))));
    entries.sort_unstable();
    entries
}

fn fill(space: &Space, cache: &Cache, keys: impl IntoIterator<Item = u32>) {
    space.exclusive(|cx| {
        for key in keys {
            let object = cx.alloc(u64::from(key));
            cache.insert(cx, key, object);
        }
    });
}

/// Which other thread a load waits for: told once to begin, and once to go on.
fn gate() -> (Sender<()>, Receiver<()>) {
    channel()
}

// ---- without loads

#[test]
fn entries_are_found_replaced_and_removed() {
    let (space, cache) = with_cache();
    fill(&space, &cache, [1, 2, 3]);
    space.exclusive(|cx| {
        assert_eq!(*cache.get(cx, &1).unwrap(), 1);
        let object = cx.alloc(10);
        assert_eq!(*cache.insert(cx, 1, object).unwrap(), 1);
        assert_eq!(*cache.invalidate(cx, &2).unwrap(), 2);
        assert!(cache.invalidate(cx, &2).is_none() && cache.get(cx, &2).is_none());
        assert_eq!(cache.len_hint(cx), 2);
    });
    assert_eq!(entries(&space, &cache), [(1, 10), (3, 3)]);
    let copy = cache.clone();
    space.exclusive(|cx| copy.invalidate_all(cx));
    assert_eq!(entries(&space, &cache), []);
    drop((cache, copy));
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn entries_go_with_their_objects() {
    let (space, cache) = with_cache();
    fill(&space, &cache, [1, 2, 3]);
    let held = space.shared(|cx| cx.root(cache.get(cx, &2).unwrap()));
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert_eq!(entries(&space, &cache), [(2, 2)]);
    space.shared(|cx| assert!(cache.get(cx, &1).is_none()));
    assert_eq!(load(&space, &cache, &1, || Ok::<_, ()>(11)).unwrap(), 11, "loaded again");
    assert_eq!(load(&space, &cache, &2, never).unwrap(), 2);
    drop(held);
}

#[test]
fn a_cache_keeps_a_limit_of_its_own() {
    let space = manual();
    let cache = space.exclusive(|cx| Cache::with_limit(cx, MapLimit::Entries(2)));
    fill(&space, &cache, [1, 2]);
    space.shared(|cx| assert!(cache.get(cx, &1).is_some()));
    assert_eq!(load(&space, &cache, &3, || Ok::<_, ()>(3)).unwrap(), 3);
    assert_eq!(entries(&space, &cache), [(1, 1), (3, 3)]);
    space.exclusive(|cx| cache.invalidate_all(cx));
    fill(&space, &cache, 0..5);
    assert_eq!(entries(&space, &cache), [(3, 3), (4, 4)], "the limit stays");
    space.exclusive(|cx| cache.set_limit(cx, Some(MapLimit::Entries(0))));
    assert_eq!(load(&space, &cache, &1, || Ok::<_, ()>(1)).unwrap(), 1, "and is let go of");
    assert_eq!(entries(&space, &cache), []);
    space.exclusive(|cx| cache.set_limit(cx, None));
    fill(&space, &cache, 0..50);
    assert_eq!(entries(&space, &cache).len(), 50);
}

// ---- one load at a time

#[test]
fn of_threads_that_ask_for_one_key_one_loads() {
    within(|| {
        for _ in 0..if cfg!(miri) { 3 } else { 20 } {
            let (space, cache) = with_cache();
            let (loads, barrier) = (AtomicUsize::new(0), Barrier::new(8));
            let ask = || {
                barrier.wait();
                let slow = || {
                    loads.fetch_add(1, SeqCst);
                    // So that the others come while it is under way; nothing depends on it.
                    thread::sleep(Duration::from_millis(5));
                    Ok::<_, ()>(7)
                };
                load(&space, &cache, &1, slow).unwrap()
            };
            let values: Vec<u64> = thread::scope(|threads| {
                let threads: Vec<_> = (0..8).map(|_| threads.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!((values, loads.load(SeqCst)), (vec![7; 8], 1));
        }
    });
}

#[test]
fn loads_of_two_keys_run_beside_each_other() {
    within(|| {
        let (space, cache) = with_cache();
        let barrier = Barrier::new(2);
        let ask = |key: u32| {
            // Both are in their loads.
            let both = || Ok::<_, ()>(u64::from(barrier.wait().is_leader()));
            load(&space, &cache, &key, both).unwrap()
        };
        let values = thread::scope(|threads| {
            let other = threads.spawn(|| ask(1));
            [ask(2), other.join().unwrap()]
        });
        assert_eq!(values[0] + values[1], 1);
    });
}

/// One thread's load ends as `end` says while another waits for the key, and then loads in its place.
fn next_loads(end: impl FnOnce() -> Result<u64, &'static str> + Send) -> thread::Result<bool> {
    let (space, cache) = with_cache();
    let ((begun, has_begun), (go, may_go)) = (gate(), gate());
    thread::scope(|threads| {
        let first = threads.spawn(|| {
            let fails = move || {
                begun.send(()).unwrap();
                may_go.recv().unwrap();
                end()
            };
            load(&space, &cache, &1, fails)
        });
        has_begun.recv().unwrap();
        let second = threads.spawn(|| load(&space, &cache, &1, || Ok::<_, ()>(2)).unwrap());
        // Mostly it waits by now; nothing depends on it.
        thread::sleep(Duration::from_millis(5));
        go.send(()).unwrap();
        let first = first.join();
        assert_eq!(second.join().unwrap(), 2);
        assert!(!space.is_poisoned());
        first.map(|result| matches!(result, Err(LoadError::Load("not today"))))
    })
}

#[test]
fn after_a_load_that_fails_the_next_loads() {
    assert!(within(|| next_loads(|| Err("not today"))).unwrap());
}

#[test]
fn after_a_load_that_panics_the_next_loads() {
    assert!(within(|| next_loads(|| panic!("in a load"))).is_err());
}

#[test]
fn a_panic_while_the_object_is_made_poisons_and_ends_the_load() {
    within(|| {
        let (space, cache) = with_cache();
        let panics =
            || cache.get_or_load(&space, &1, || Ok::<_, ()>(1), |_, _| panic!("in the making"));
        assert_eq!(panic_of(panics), "in the making");
        assert!(space.is_poisoned());
        let refused = load(&space, &cache, &1, never);
        assert!(matches!(refused, Err(LoadError::Lock(LockError::Poisoned { .. }))), "{refused:?}");
        space.clear_poison();
        assert_eq!(load(&space, &cache, &1, || Ok::<_, ()>(2)).unwrap(), 2);
        let refused = space.exclusive(|cx| {
            let make = |_: &mut Exclusive<'_>| panic!("in the other making");
            panic_of(|| {
                cache.get_or_make(cx, &3, make).map_err(|error: LoadError<()>| error).is_ok()
            })
        });
        assert_eq!(refused, "in the other making");
        assert_eq!(load(&space, &cache, &3, || Ok::<_, ()>(3)).unwrap(), 3);
    });
}

#[test]
fn a_load_that_is_under_way_puts_its_object_in_after_an_invalidation() {
    within(|| {
        let (space, cache) = with_cache();
        let during = || {
            space.exclusive(|cx| {
                assert!(cache.invalidate(cx, &1).is_none());
                cache.invalidate_all(cx);
            });
            Ok::<_, ()>(1)
        };
        assert_eq!(load(&space, &cache, &1, during).unwrap(), 1);
        assert_eq!(entries(&space, &cache), [(1, 1)]);
    });
}

#[test]
fn an_object_that_is_put_in_during_a_load_is_replaced_by_what_is_loaded() {
    let (space, cache) = with_cache();
    let during = || {
        fill(&space, &cache, [1]);
        Ok::<_, ()>(100)
    };
    assert_eq!(load(&space, &cache, &1, during).unwrap(), 100);
    assert_eq!(entries(&space, &cache), [(1, 100)]);
}

// ---- loads that ask for others

#[test]
fn a_load_may_ask_for_other_keys_and_not_for_its_own() {
    within(|| {
        let (space, cache) = with_cache();
        let outer = || {
            let own = load(&space, &cache, &1, never);
            assert!(matches!(own, Err(LoadError::Reentered)), "{own:?}");
            let own = space.exclusive(|cx| {
                let made = cache.get_or_make(cx, &1, |_| panic!("must not be made"));
                made.map_err(|error: LoadError<()>| error).map(|_| ())
            });
            assert!(matches!(own, Err(LoadError::Reentered)), "{own:?}");
            let inner = || {
                let outer = load(&space, &cache, &1, never);
                assert!(matches!(outer, Err(LoadError::Reentered)), "{outer:?}");
                Ok(2)
            };
            load(&space, &cache, &2, inner).map(|other| other + 10)
        };
        let value = load(&space, &cache, &1, outer);
        assert_eq!(value.map_err(|error: LoadError<LoadError<Infallible>>| error).unwrap(), 12);
        assert_eq!(entries(&space, &cache), [(1, 12), (2, 2)]);
    });
}

#[test]
fn what_is_made_in_an_access_may_need_other_keys_and_not_its_own() {
    let (space, cache) = with_cache();
    space.exclusive(|cx| {
        let made = cache.get_or_make(cx, &1, |cx| {
            let own = cache.get_or_make(cx, &1, |_| panic!("must not be made"));
            let own: Result<_, LoadError<()>> = own;
            assert!(matches!(own, Err(LoadError::Reentered)), "{own:?}");
            let other = cache.get_or_make(cx, &2, |cx| Ok::<_, ()>(cx.alloc(2))).unwrap();
            Ok::<_, &str>(cx.alloc(*other + 10))
        });
        assert_eq!(*made.unwrap(), 12);
        let failed = cache.get_or_make(cx, &3, |_| Err("not today"));
        assert!(matches!(failed, Err(LoadError::Load("not today"))), "{failed:?}");
        assert_eq!(*cache.get_or_make(cx, &3, |cx| Ok::<_, ()>(cx.alloc(3))).unwrap(), 3);
        let found = cache.get_or_make(cx, &1, |_| panic!("it is there"));
        assert_eq!(*found.map_err(|error: LoadError<()>| error).unwrap(), 12);
    });
}

/// Two threads, each of which asks in its load for what the other loads: from a cache for each.
fn circle(caches: [&Cache; 2], space: &Space) {
    let both_load = Barrier::new(2);
    let run = |own: usize| {
        let (own_key, other_key) = (own as u32, 1 - own as u32);
        let mut saw = None;
        let value = load(space, caches[own], &own_key, || {
            both_load.wait();
            let other = load(space, caches[1 - own], &other_key, || Ok::<_, ()>(100));
            saw = Some(matches!(other, Err(LoadError::Reentered)));
            other.map(|other| other + 1)
        });
        (value.map_err(|_| ()), saw.unwrap())
    };
    let results = thread::scope(|threads| {
        let other = threads.spawn(|| run(1));
        [run(0), other.join().unwrap()]
    });
    // The one that was refused failed, and the other, which waited for it, loaded in its place.
    let mut results = results.map(|result| format!("{result:?}"));
    results.sort_unstable();
    assert_eq!(results, ["(Err(()), true)", "(Ok(101), false)"]);
}

#[test]
fn loads_on_two_threads_that_wait_for_each_other_are_an_error() {
    within(|| {
        for _ in 0..if cfg!(miri) { 5 } else { 50 } {
            let (space, cache) = with_cache();
            circle([&cache, &cache], &space);
        }
    });
}

#[test]
fn loads_of_two_caches_that_wait_for_each_other_are_an_error() {
    within(|| {
        for _ in 0..if cfg!(miri) { 5 } else { 50 } {
            let (space, cache) = with_cache();
            let other = space.exclusive(|cx| Cache::new(cx));
            circle([&cache, &other], &space);
        }
    });
}

/// The thread that was waited for goes on to wait for the one that waited, which may not have noticed yet.
#[test]
#[cfg_attr(miri, ignore = "500 rounds")]
fn a_load_that_has_ended_is_no_part_of_a_circle() {
    within(|| {
        for _ in 0..500 {
            let (space, cache) = with_cache();
            let ((begun, has_begun), (go, may_go)) = (gate(), gate());
            let (space, cache) = (&space, &cache);
            thread::scope(|threads| {
                threads.spawn(move || {
                    has_begun.recv().unwrap();
                    let second = || {
                        go.send(()).unwrap();
                        load(space, cache, &1, || Ok::<_, ()>(5))
                    };
                    assert_eq!(load(space, cache, &2, second).unwrap(), 1);
                });
                let first = || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    // So that the other waits by now.
                    (0..100).for_each(|_| thread::yield_now());
                    Ok::<_, ()>(1)
                };
                assert_eq!(load(space, cache, &1, first).unwrap(), 1);
                let second = load(space, cache, &2, || Ok::<_, ()>(1));
                assert_eq!(second.unwrap(), 1, "not taken for a circle");
            });
        }
    });
}

// ---- in accesses, drops and other spaces

#[test]
fn who_holds_a_space_cannot_wait_for_a_load() {
    within(|| {
        let ((space, cache), other) = (with_cache(), manual());
        fill(&space, &cache, [1]);
        // There or not, whichever space it is.
        for key in [1, 2] {
            let here = space.exclusive(|_| load(&space, &cache, &key, never));
            assert!(matches!(here, Err(LoadError::HoldsSpace)), "{here:?}");
            let there = other.shared(|_| load(&space, &cache, &key, never));
            assert!(matches!(there, Err(LoadError::HoldsSpace)), "{there:?}");
        }
    });
}

#[test]
fn a_drop_of_a_sweep_cannot_wait_for_a_load() {
    within(|| {
        let (space, cache) = with_cache();
        let seen = Arc::new(Mutex::new(None));
        let (weak, own, saw) = (space.downgrade(), cache.clone(), Arc::clone(&seen));
        space.exclusive(|cx| {
            cx.alloc(on_drop(move || {
                let space = weak.upgrade().unwrap();
                *saw.lock().unwrap() = Some(load(&space, &own, &1, never));
            }));
        });
        space.collect().unwrap();
        let seen = seen.lock().unwrap().take().unwrap();
        assert!(matches!(seen, Err(LoadError::HoldsSpace)), "{seen:?}");
    });
}

#[test]
fn an_access_does_not_wait_for_another_threads_load() {
    within(|| {
        let (space, cache) = with_cache();
        let ask = || {
            space.exclusive(|cx| {
                let made = cache.get_or_make(cx, &1, |_| panic!("must not be made"));
                made.map_err(|error: LoadError<()>| error).map(|_| ())
            })
        };
        let during = || {
            let busy = thread::scope(|threads| threads.spawn(ask).join().unwrap());
            assert!(matches!(busy, Err(LoadError::Busy)), "{busy:?}");
            Ok::<_, ()>(1)
        };
        assert_eq!(load(&space, &cache, &1, during).unwrap(), 1);
    });
}

#[test]
fn a_load_waits_for_what_an_access_makes() {
    within(|| {
        let (space, cache) = with_cache();
        let (begun, has_begun) = gate();
        let (space, cache) = (&space, &cache);
        thread::scope(|threads| {
            let other = threads.spawn(move || {
                has_begun.recv().unwrap();
                load(space, cache, &1, never).unwrap()
            });
            space.exclusive(|cx| {
                let made = cache.get_or_make(cx, &1, |cx| {
                    begun.send(()).unwrap();
                    // Mostly the other waits for the space, which is as good; nothing depends on it.
                    thread::sleep(Duration::from_millis(5));
                    Ok::<_, ()>(cx.alloc(1))
                });
                assert!(made.is_ok());
            });
            assert_eq!(other.join().unwrap(), 1);
        });
    });
}

#[test]
fn a_poisoned_space_is_an_error_for_a_load() {
    let (space, cache) = with_cache();
    panic_of(|| space.exclusive(|_| panic!("half done")));
    let refused = load(&space, &cache, &1, never);
    assert!(matches!(refused, Err(LoadError::Lock(LockError::Poisoned { .. }))), "{refused:?}");
    space.clear_poison();
    // While the load is under way.
    let poisons = || {
        panic_of(|| space.exclusive(|_| panic!("half done")));
        Ok::<_, ()>(1)
    };
    let refused = load(&space, &cache, &1, poisons);
    assert!(matches!(refused, Err(LoadError::Lock(LockError::Poisoned { .. }))), "{refused:?}");
    space.clear_poison();
    assert_eq!(load(&space, &cache, &1, || Ok::<_, ()>(2)).unwrap(), 2);
}

#[test]
fn a_cache_goes_along_with_a_merge() {
    within(|| {
        let ((source, cache), target) = (with_cache(), manual());
        fill(&source, &cache, [1]);
        // In the middle of a load, too.
        let merges = || {
            target.transfer_from(&source).unwrap();
            Ok::<_, ()>(2)
        };
        let refused = load(&source, &cache, &2, merges);
        assert!(matches!(refused, Err(LoadError::WrongSpace(_))), "{refused:?}");
        let refused = load(&source, &cache, &1, never);
        assert!(matches!(refused, Err(LoadError::WrongSpace(_))), "{refused:?}");
        source.exclusive(|cx| {
            assert!(cache.try_get(cx, &1).is_err());
            let made = cache.get_or_make(cx, &1, |cx| Ok::<_, ()>(cx.alloc(1)));
            assert!(matches!(made, Err(LoadError::WrongSpace(_))));
            panic_of(|| cache.get(cx, &1).is_some());
            panic_of(|| cache.len_hint(cx));
        });
        assert_eq!(load(&target, &cache, &1, never).unwrap(), 1);
        assert_eq!(load(&target, &cache, &2, || Ok::<_, ()>(22)).unwrap(), 22);
        assert_eq!(entries(&target, &cache), [(1, 1), (2, 22)]);
        target.set_eviction_threshold(0);
        target.collect().unwrap();
        assert_eq!(entries(&target, &cache), []);
        assert!(target.verify().unwrap().is_clean());
    });
}

// ---- values

#[derive(IObject)]
struct Unit<'gc> {
    probe: Static<crate::probe::Probe>,
    next: Slot<'gc, Option<Gc<'gc, Unit<'gc>>>>,
    cache: Static<OnceLock<Units>>,
}

type Units = EvictableCache<u32, Rootable![Unit<'_>]>;

fn unit<'gc>(cx: &Exclusive<'gc>, drops: &Drops) -> Gc<'gc, Unit<'gc>> {
    cx.alloc(Unit { probe: drops.probe(), next: Slot::new(None), cache: Static(OnceLock::new()) })
}

#[test]
fn values_may_refer_to_each_other_in_circles() {
    let (space, drops) = (manual(), Drops::new());
    let cache = space.exclusive(|cx| {
        let cache = Units::new(cx);
        let (one, two) = (unit(cx, &drops), unit(cx, &drops));
        one.next.set(cx, Some(two));
        two.next.set(cx, Some(one));
        cache.insert(cx, 1, one);
        cache.insert(cx, 2, two);
        cache
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.exclusive(|cx| {
        let two = cache.invalidate(cx, &2).unwrap();
        assert_eq!(two.next.get(cx).unwrap().next.get(cx), Some(two));
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0, "the first holds the second");
    space.exclusive(|cx| cache.invalidate_all(cx));
    space.collect().unwrap();
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_value_that_owns_its_cache_goes_when_it_is_evicted_and_not_before() {
    let (space, drops) = (manual(), Drops::new());
    space.exclusive(|cx| {
        let (cache, value) = (Units::new(cx), unit(cx, &drops));
        cache.insert(cx, 1, value);
        value.cache.set(cache).unwrap();
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0, "nobody else has the cache, and the value is kept by it");
    space.set_eviction_threshold(0);
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0, "its drop dropped the cache's last handle");
}

// ---- keys

type OddCache = EvictableCache<Key, u64>;

fn with_odd_cache() -> (CSpace, OddCache) {
    let space = manual();
    let cache = space.exclusive(|cx| OddCache::new(cx));
    (space, cache)
}

thread_local! {
    /// Whether the code of a key runs, so that it does not call itself.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn unless_inside(f: impl FnOnce()) {
    if !INSIDE.replace(true) {
        f();
        INSIDE.set(false);
    }
}

/// In an access it is refused, as always; where nothing is held, it loads.
#[test]
fn hashes_comparisons_and_drops_of_keys_may_use_the_cache() {
    within(|| {
        let (space, cache) = with_odd_cache();
        let (loaded, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let act = {
            let (space, cache) = (space.downgrade(), cache.clone());
            let (loaded, refused) = (Arc::clone(&loaded), Arc::clone(&refused));
            move || {
                unless_inside(|| {
                    let Some(space) = space.upgrade() else { return };
                    match load(&space, &cache, &Key::new(7), || Ok::<_, ()>(7)) {
                        Ok(7) => _ = loaded.fetch_add(1, SeqCst),
                        Err(LoadError::HoldsSpace) => _ = refused.fetch_add(1, SeqCst),
                        other => panic!("{other:?}"),
                    }
                })
            }
        };
        let key = || Key::new(1).on_hash(act.clone()).on_eq(act.clone()).on_drop(act.clone());
        assert_eq!(load(&space, &cache, &key(), || Ok::<_, ()>(1)).unwrap(), 1);
        // And one that waits, so that keys of flights are compared.
        let ((begun, has_begun), (go, may_go)) = (gate(), gate());
        space.exclusive(|cx| cache.invalidate_all(cx));
        thread::scope(|threads| {
            let slow = threads.spawn(|| {
                let slow = move || {
                    begun.send(()).unwrap();
                    may_go.recv().unwrap();
                    Ok::<_, ()>(2)
                };
                load(&space, &cache, &key(), slow).unwrap()
            });
            has_begun.recv().unwrap();
            let other = threads.spawn(|| load(&space, &cache, &key(), || Ok::<_, ()>(3)).unwrap());
            // It compares, mostly; nothing depends on it.
            thread::sleep(Duration::from_millis(5));
            go.send(()).unwrap();
            assert_eq!((slow.join().unwrap(), other.join().unwrap()), (2, 2));
        });
        assert!(loaded.load(SeqCst) > 0 && refused.load(SeqCst) > 0);
    });
}

/// Whichever call of a key's code panics: the load has ended, and the next one loads.
#[test]
fn a_key_that_panics_ends_its_load() {
    within(|| {
        let made: [fn(&Key, Panics) -> Key; 3] = [
            |key, panics| key.clone().on_hash(move || panics.call()),
            |key, panics| key.clone().on_eq(move || panics.call()),
            |key, panics| key.clone().on_drop(move || panics.call()),
        ];
        let mut counts = [0; 3];
        for (kind, made) in made.into_iter().enumerate() {
            for at in 0..if cfg!(miri) { 10 } else { 30 } {
                let (space, cache) = with_odd_cache();
                let panics = Panics::at(at);
                // So that there is something to compare with, of the same hash.
                let key = Key::new(1);
                let run = || {
                    let odd = made(&key, panics.clone());
                    load(&space, &cache, &odd, || Ok::<_, ()>(1)).unwrap();
                    load(&space, &cache, &odd, || Ok::<_, ()>(1)).unwrap();
                    space.exclusive(|cx| cache.invalidate(cx, &odd).is_some());
                };
                let panicked = catch_unwind(AssertUnwindSafe(run)).is_err();
                space.clear_poison();
                if panicked {
                    counts[kind] += 1;
                }
                assert_eq!(
                    format!("{cache:?}"),
                    "EvictableCache { loading: 0, .. }",
                    "{kind} {at}"
                );
                panics.disarm();
                space.exclusive(|cx| cache.invalidate_all(cx));
                assert_eq!(load(&space, &cache, &key, || Ok::<_, ()>(2)).unwrap(), 2);
                assert!(space.verify().unwrap().is_clean());
            }
        }
        assert!(counts.iter().all(|count| *count > 1), "{counts:?}");
    });
}

/// Panics at one of its calls.
#[derive(Clone)]
struct Panics(Arc<AtomicUsize>);

impl Panics {
    fn at(call: usize) -> Panics {
        Panics(Arc::new(AtomicUsize::new(call)))
    }

    fn disarm(&self) {
        self.0.store(usize::MAX, SeqCst);
    }

    fn call(&self) {
        let left = self.0.fetch_sub(1, SeqCst);
        if left == 0 {
            self.disarm();
            panic!("a key that panics");
        }
    }
}

/// The hash of a key is to stay the same. One that changes is not found; the load ends for all that.
#[test]
fn a_load_of_a_key_whose_hash_changes_ends() {
    let (space, cache) = with_odd_cache();
    let key = Key::new(1).unsteady();
    for value in 0..3 {
        assert_eq!(load(&space, &cache, &key, || Ok::<_, ()>(value)).unwrap(), value);
        assert_eq!(format!("{cache:?}"), "EvictableCache { loading: 0, .. }");
    }
}
