//! Do random programs on an `EvictableMap` agree with a naive LRU map?
//!
//! The model has the entries whose objects are there, each with the time of the last touch of its reference, and finds
//! the oldest by looking at all. Limits of the map's own are checked by what they mean: after an insertion the map
//! is within its limit, what it removed was touched before all that it kept, and not one entry too many went. Entries
//! of objects that a collection let go of are in the map until it comes across them; the model knows how many there are
//! and what they count for, and not which.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::thread;

use cspace::*;

use crate::rng::{from_env, Rng};

/// Programs of an ordinary run.
const PROGRAMS: u64 = 4000;
/// Steps of a program.
const STEPS: usize = 120;
/// Keys, enough for an insertion to look for entries without an object.
const KEYS: usize = 40;

/// Values are the numbers of their references.
type Pages<'gc> = EvictableMap<'gc, u32, u64>;
type References<'gc> = Vec<(usize, Evictable<'gc, u64>)>;

// ---- the model

struct Reference {
    touched: u64,
    size: usize,
    is_gone: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    reference: usize,
    /// When it was inserted.
    bytes: usize,
}

#[derive(Default)]
struct Model {
    references: Vec<Reference>,
    /// Of objects that are there.
    entries: BTreeMap<u32, Entry>,
    /// Entries without an object, and what they count for; none: more than can be said.
    dead: (usize, Option<u128>),
    limit: Option<MapLimit>,
    clock: u64,
}

impl Model {
    fn touch(&mut self, reference: usize) {
        self.clock += 1;
        self.references[reference].touched = self.clock;
    }

    fn touched(&self, entry: &Entry) -> u64 {
        self.references[entry.reference].touched
    }

    /// The number of the object for a key.
    fn value(&self, key: u32) -> Option<u64> {
        self.entries.get(&key).map(|entry| entry.reference as u64)
    }

    fn bytes(&self) -> u128 {
        self.entries.values().map(|entry| entry.bytes as u128).sum()
    }

    /// Compares with what a map has. Only if it `may_trim`, entries may be missing.
    fn compare<'gc>(&mut self, cx: &impl Access<'gc>, map: &Pages<'gc>, may_trim: bool) {
        let shown: BTreeMap<u32, u64> = map.iter(cx).map(|(key, page)| (*key, *page)).collect();
        let missing: Vec<(u32, Entry)> = self
            .entries
            .iter()
            .filter(|(key, _)| !shown.contains_key(key))
            .map(|(key, entry)| (*key, *entry))
            .collect();
        assert!(may_trim || missing.is_empty(), "nothing may go, but {:?} did", missing.len());
        missing.iter().for_each(|(key, _)| _ = self.entries.remove(key));
        let expected: BTreeMap<u32, u64> =
            self.entries.iter().map(|(key, entry)| (*key, entry.reference as u64)).collect();
        assert_eq!(shown, expected);
        let before = self.dead;
        let (len, bytes) = (map.len_hint(), map.bytes_hint());
        assert!(len >= shown.len(), "{len} entries, {} shown", shown.len());
        let dead_len = len - shown.len();
        assert!(dead_len <= before.0, "{dead_len} entries without an object, {} before", before.0);
        let living_bytes = self.bytes();
        let dead_bytes = match (dead_len, bytes) {
            (0, _) => {
                assert_eq!(bytes, usize::try_from(living_bytes).unwrap_or(usize::MAX));
                Some(0)
            }
            (_, usize::MAX) => None,
            _ => Some((bytes as u128).checked_sub(living_bytes).expect("the living count")),
        };
        self.dead = (dead_len, dead_bytes);
        match self.limit {
            Some(MapLimit::Entries(max)) => assert!(len <= max, "{len} entries of {max}"),
            Some(MapLimit::Bytes(max)) => assert!(bytes <= max, "{bytes} bytes of {max}"),
            None => assert!(missing.is_empty(), "nothing goes without a limit"),
        }
        let Some(newest) = missing.iter().map(|(_, entry)| self.touched(entry)).max() else {
            return;
        };
        let oldest_kept = self.entries.values().map(|entry| self.touched(entry)).min();
        // One reference may be there for two keys.
        assert!(
            oldest_kept.is_none_or(|oldest| newest <= oldest),
            "{newest} went, {oldest_kept:?} stayed"
        );
        let last = missing.iter().filter(|(_, entry)| self.touched(entry) == newest);
        let last = last.map(|(_, entry)| entry.bytes as u128).max().unwrap();
        let was_over = match (self.limit.unwrap(), before.1, dead_bytes) {
            (MapLimit::Entries(max), _, _) => len + 1 + (before.0 - dead_len) > max,
            (MapLimit::Bytes(max), Some(before), Some(after)) => {
                living_bytes + after + last + (before - after) > max as u128
            }
            _ => true,
        };
        assert!(was_over, "the last one that went need not have");
    }

    /// A collection that keeps so many bytes; `held` is referred to from outside of the map, `pinned` kept anyhow. The
    /// number of references that go.
    fn collect(&mut self, threshold: Option<usize>, held: &[usize], pinned: &[usize]) -> usize {
        let in_map = self.entries.values().map(|entry| entry.reference);
        let found: BTreeSet<usize> = in_map.chain(held.iter().copied()).collect();
        let mut candidates: Vec<usize> =
            found.into_iter().filter(|at| !self.references[*at].is_gone).collect();
        let mut total: u128 = candidates.iter().map(|at| self.references[*at].size as u128).sum();
        candidates.retain(|at| !pinned.contains(at));
        candidates.sort_by_key(|at| {
            // What can never fit goes first.
            let Reference { size, touched, .. } = self.references[*at];
            (threshold.is_some_and(|threshold| size <= threshold), touched)
        });
        let mut count = 0;
        for at in candidates {
            if threshold.is_none_or(|threshold| threshold > 0 && total <= threshold as u128) {
                break;
            }
            self.references[at].is_gone = true;
            total -= self.references[at].size as u128;
            count += 1;
        }
        let gone = |entry: &Entry| self.references[entry.reference].is_gone;
        let dead: Vec<u32> =
            self.entries.iter().filter(|(_, entry)| gone(entry)).map(|(key, _)| *key).collect();
        for key in dead {
            let entry = self.entries.remove(&key).unwrap();
            self.dead.0 += 1;
            self.dead.1 = self.dead.1.map(|bytes| bytes + entry.bytes as u128);
        }
        count
    }
}

// ---- the program

struct Run {
    space: CSpace,
    map: OwnedRoot<Rootable![Pages<'_>]>,
    /// References held beside the map.
    held: OwnedRoot<Rootable![References<'_>]>,
    pins: Vec<(usize, EvictionPin<u64>)>,
    model: Model,
    rng: Rng,
    log: Vec<String>,
}

impl Run {
    fn new(mut rng: Rng) -> Run {
        let space = CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap();
        let limit = random_limit(&mut rng);
        let log = vec![format!("limit {limit:?}")];
        let (map, held) = space.exclusive(|cx| {
            let map = limit.map_or_else(Pages::new, Pages::with_limit);
            (cx.own_root(map), cx.own_root(References::new()))
        });
        let model = Model { limit, dead: (0, Some(0)), ..Model::default() };
        Run { space, map, held, pins: Vec::new(), model, rng, log }
    }

    fn step(&mut self) {
        match self.rng.below(24) {
            0..=8 => self.insert(),
            9..=14 => self.look(),
            15 => self.remove(),
            16 => self.pin(),
            17 => {
                if !self.pins.is_empty() {
                    let at = self.rng.below(self.pins.len());
                    self.log.push(format!("unpin {}", self.pins[at].0));
                    drop(self.pins.swap_remove(at));
                }
            }
            18 => self.resize(),
            19 => self.set_limit(),
            20 => self.purge(),
            21 if self.rng.one_in(8) => self.clear(),
            _ => self.collect(),
        }
    }

    fn key(&mut self) -> u32 {
        self.rng.below(KEYS) as u32
    }

    fn insert(&mut self) {
        let (key, size, again) = (self.key(), random_size(&mut self.rng), self.rng.one_in(5));
        let (hold, pick) = (self.rng.one_in(4), self.rng.next() as usize);
        let Run { space, map, held, model, log, .. } = self;
        space.exclusive(|cx| {
            let held = held.get_mut(cx);
            let (number, reference) = if again && !held.is_empty() {
                held[pick % held.len()]
            } else {
                let number = model.references.len();
                let (touched, is_gone) = (0, false);
                model.references.push(Reference { touched, size, is_gone });
                let reference = cx.evictable_with_size(cx.alloc(number as u64), size);
                if hold {
                    held.push((number, reference));
                }
                (number, reference)
            };
            log.push(format!("insert {number} for {key}, size {size}"));
            let expected = model.value(key);
            model.entries.remove(&key);
            if !model.references[number].is_gone {
                model.touch(number);
                let bytes = model.references[number].size;
                // One that can never fit is not put in.
                if fits(model.limit, bytes) {
                    model.entries.insert(key, Entry { reference: number, bytes });
                }
            }
            let map = map.get_mut(cx);
            let old = map.insert(cx, key, reference).map(|page| *page);
            assert_eq!(old, expected);
            model.compare(cx, map, true);
        });
    }

    fn look(&mut self) {
        let (key, kind) = (self.key(), self.rng.below(8));
        self.log.push(format!("look for {key} ({kind})"));
        let expected = self.model.value(key);
        let (space, map) = (&self.space, &self.map);
        let found = match kind {
            0 => space.shared(|cx| map.get(cx).peek(cx, &key).map(|page| *page)),
            1 => {
                let found = space.shared(|cx| map.get(cx).contains_key(cx, &key));
                assert_eq!(found, expected.is_some());
                expected
            }
            2 if key % 8 == 0 => thread::scope(|threads| {
                let get = || space.shared(|cx| map.get(cx).get(cx, &key).map(|page| *page));
                threads.spawn(get).join().unwrap()
            }),
            3 => space.exclusive(|cx| map.get(cx).get(cx, &key).map(|page| *page)),
            _ => space.shared(|cx| map.get(cx).get(cx, &key).map(|page| *page)),
        };
        assert_eq!(found, expected);
        if let (2.., Some(number)) = (kind, expected) {
            self.model.touch(number as usize);
        }
        let model = &mut self.model;
        space.shared(|cx| model.compare(cx, map.get(cx), false));
    }

    fn remove(&mut self) {
        let key = self.key();
        self.log.push(format!("remove {key}"));
        let Run { space, map, model, .. } = self;
        space.exclusive(|cx| {
            let expected = model.value(key);
            model.entries.remove(&key);
            let map = map.get_mut(cx);
            assert_eq!(map.remove(cx, &key).map(|page| *page), expected);
            model.compare(cx, map, false);
        });
    }

    fn pin(&mut self) {
        let key = self.key();
        self.log.push(format!("pin what is at {key}"));
        let expected = self.model.value(key);
        let (space, map) = (&self.space, &self.map);
        let pin = space.shared(|cx| map.get(cx).evictable(&key)?.pin(cx));
        assert_eq!(pin.is_some(), expected.is_some());
        if let (Some(pin), Some(number)) = (pin, expected) {
            self.model.touch(number as usize);
            self.pins.push((number as usize, pin));
        }
    }

    /// What the map has noted is not changed by it.
    fn resize(&mut self) {
        let (key, size) = (self.key(), random_size(&mut self.rng));
        self.log.push(format!("size of what is at {key} is {size}"));
        let Some(number) = self.model.value(key) else { return };
        let map = &self.map;
        self.space.shared(|cx| map.get(cx).evictable(&key).unwrap().set_size_bytes(cx, size));
        self.model.references[number as usize].size = size;
        let model = &mut self.model;
        self.space.shared(|cx| model.compare(cx, map.get(cx), false));
    }

    fn set_limit(&mut self) {
        let limit = random_limit(&mut self.rng);
        self.log.push(format!("limit {limit:?}"));
        let Run { space, map, model, .. } = self;
        model.limit = limit;
        model.entries.retain(|_, entry| fits(limit, entry.bytes));
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            map.set_limit(cx, limit);
            assert_eq!(map.limit(), limit);
            model.compare(cx, map, true);
        });
    }

    fn purge(&mut self) {
        self.log.push("purge".to_owned());
        let Run { space, map, model, .. } = self;
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            assert_eq!(map.purge(cx), model.dead.0);
            model.compare(cx, map, false);
            assert_eq!(model.dead, (0, Some(0)));
        });
    }

    fn clear(&mut self) {
        self.log.push("clear".to_owned());
        let Run { space, map, model, .. } = self;
        space.exclusive(|cx| {
            let map = map.get_mut(cx);
            map.clear();
            model.entries.clear();
            model.compare(cx, map, false);
            assert_eq!(model.dead, (0, Some(0)));
        });
    }

    fn collect(&mut self) {
        // So that what it lets go of is also what the map's own limit let live.
        let threshold = match self.rng.below(8) {
            0 => Some(0),
            1..=3 => Some(self.rng.below(200)),
            _ => None,
        };
        self.log.push(format!("collect, threshold {threshold:?}"));
        let Run { space, map, held, model, pins, .. } = self;
        let held: Vec<usize> =
            space.shared(|cx| held.get(cx).iter().map(|(number, _)| *number).collect());
        let pinned: Vec<usize> = pins.iter().map(|(number, _)| *number).collect();
        let expected = model.collect(threshold, &held, &pinned);
        space.set_eviction_threshold(threshold);
        assert_eq!(space.collect().unwrap().objects_evicted, expected);
        space.shared(|cx| model.compare(cx, map.get(cx), false));
    }
}

/// Whether a value of so many bytes is within a limit by itself.
fn fits(limit: Option<MapLimit>, bytes: usize) -> bool {
    match limit {
        None => true,
        Some(MapLimit::Entries(max)) => max > 0,
        Some(MapLimit::Bytes(max)) => bytes <= max,
    }
}

fn random_size(rng: &mut Rng) -> usize {
    match rng.below(200) {
        0 => usize::MAX,
        1 => usize::MAX / 2,
        _ => rng.below(20),
    }
}

fn random_limit(rng: &mut Rng) -> Option<MapLimit> {
    match rng.below(10) {
        0 => None,
        1 => Some(MapLimit::Bytes(usize::MAX)),
        2..=5 => Some(MapLimit::Bytes(rng.below(150))),
        _ => Some(MapLimit::Entries(rng.below(25))),
    }
}

/// Runs a program; panics where it does not agree, and says before what was done.
pub fn run(rng: Rng, name: &str) {
    let mut run = Run::new(rng);
    let done = catch_unwind(AssertUnwindSafe(|| {
        (0..STEPS).for_each(|_| run.step());
        assert!(run.space.verify().unwrap().is_clean());
    }));
    if let Err(panic) = done {
        eprintln!("program {name}:\n  {}", run.log.join("\n  "));
        resume_unwind(panic);
    }
}

#[test]
fn programs_on_an_evictable_map_agree_with_a_naive_lru() {
    let seed = from_env("CSPACE_MODEL_SEED").unwrap_or(1);
    let count = from_env("CSPACE_MODEL_PROGRAMS").unwrap_or(PROGRAMS);
    for seed in seed..seed + count {
        run(Rng::new(seed), &format!("with CSPACE_MODEL_SEED={seed}"));
    }
}
