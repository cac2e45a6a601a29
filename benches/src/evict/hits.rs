//! Hit ratios: what a cache of so many bytes still has when it is asked.

use std::hint::black_box;
use std::time::Instant;

use cspace::{CSpace, EvictableMap, Exclusive, GcMode, MapLimit, OwnedRoot, Rootable, Slice};

use super::trace::Trace;
use super::{median, Options};
use crate::table::significant;

/// The largest value, for copies of its beginning.
static BYTES: [u8; 4096] = [0; 4096];

/// What part of a trace fills the cache and is not counted.
const WARM_UP: f64 = 0.25;

/// What a contender is given.
struct Task<'a> {
    trace: &'a Trace,
    capacity: usize,
}

impl Task<'_> {
    /// The keys that fill the cache, and those that are counted.
    fn parts(&self) -> [&[u32]; 2] {
        let (before, counted) =
            self.trace.keys.split_at((self.trace.keys.len() as f64 * WARM_UP) as usize);
        [before, counted]
    }

    fn value(&self, key: u32) -> &'static [u8] {
        &BYTES[..self.trace.size(key)]
    }
}

/// How a contender did.
struct Outcome {
    hits: usize,
    operation_ns: f64,
    /// The most bytes of values that were there at a time.
    bytes_max: usize,
}

/// Looks up all keys of a task by `run`, which returns the number of hits; `settle` is called before the counted
/// ones.
fn timed<C>(
    task: &Task<'_>,
    cache: &mut C,
    mut run: impl FnMut(&mut C, &[u32]) -> usize,
    settle: impl FnOnce(&mut C),
) -> (usize, f64) {
    let [before, counted] = task.parts();
    run(cache, before);
    settle(cache);
    let begin = Instant::now();
    let hits = black_box(run(cache, counted));
    (hits, begin.elapsed().as_nanos() as f64 / counted.len() as f64)
}

type Pages<'gc> = EvictableMap<'gc, u32, Slice<u8>>;

/// A map in a space of its own.
struct MapInSpace {
    space: CSpace,
    map: OwnedRoot<Rootable![Pages<'_>]>,
    /// How many bytes are inserted until the next collection.
    collect_after: usize,
    inserted: usize,
    /// What was resident after the last collection.
    resident: usize,
    bytes_max: usize,
}

impl MapInSpace {
    fn new(limit: Option<MapLimit>, threshold: Option<usize>, collect_after: usize) -> MapInSpace {
        let space = CSpace::builder().gc(GcMode::Manual).build().expect("the settings are valid");
        space.set_eviction_threshold(threshold);
        let map = space.exclusive(|cx| {
            cx.own_root::<Pages<'_>>(limit.map_or_else(EvictableMap::new, EvictableMap::with_limit))
        });
        MapInSpace { space, map, collect_after, inserted: 0, resident: 0, bytes_max: 0 }
    }

    /// The number of hits.
    fn run(&mut self, task: &Task<'_>, keys: &[u32]) -> usize {
        let (mut keys, mut hits) = (keys.iter(), 0);
        let space = self.space.clone();
        while !keys.as_slice().is_empty() {
            space.exclusive(|cx| hits += self.run_until_full(cx, task, &mut keys));
            if self.inserted >= self.collect_after {
                self.space.collect().expect("nobody holds the space");
                self.resident = self.space.eviction_stats().bytes_resident;
                self.inserted = 0;
            }
        }
        hits
    }

    fn run_until_full<'a>(
        &mut self,
        cx: &mut Exclusive<'_>,
        task: &Task<'_>,
        keys: &mut impl Iterator<Item = &'a u32>,
    ) -> usize {
        let map = self.map.get_mut(cx);
        let mut hits = 0;
        while self.inserted < self.collect_after {
            let Some(key) = keys.next() else { break };
            if let Some(value) = map.get(cx, key) {
                hits += 1;
                black_box(value.elems()[0]);
                continue;
            }
            let value = task.value(*key);
            let page = cx.evictable_with_size(cx.alloc_slice_copy(value), value.len());
            map.insert(cx, *key, page);
            self.inserted += value.len();
            // Within a limit of its own, the map has all that it shows.
            let bytes = match map.limit() {
                Some(_) => map.bytes_hint(),
                None => self.resident + self.inserted,
            };
            self.bytes_max = self.bytes_max.max(bytes);
        }
        hits
    }
}

/// A map with a limit of its own. What it removes is garbage until a collection, which comes when as much was
/// inserted as the map may have.
fn limited(task: &Task<'_>) -> Outcome {
    let mut map = MapInSpace::new(Some(MapLimit::Bytes(task.capacity)), None, task.capacity);
    let (hits, operation_ns) = timed(task, &mut map, |map, keys| map.run(task, keys), |_| ());
    Outcome { hits, operation_ns, bytes_max: map.bytes_max }
}

/// A map without a limit in a space with a threshold of so many percent of the capacity, which collects when a
/// twentieth of the capacity was inserted.
fn by_threshold(task: &Task<'_>, percent: usize) -> Outcome {
    let threshold = task.capacity / 100 * percent;
    let mut map = MapInSpace::new(None, Some(threshold), task.capacity / 20);
    let (hits, operation_ns) = timed(task, &mut map, |map, keys| map.run(task, keys), |_| ());
    Outcome { hits, operation_ns, bytes_max: map.bytes_max }
}

#[cfg(feature = "caches")]
fn by_lru(task: &Task<'_>) -> Outcome {
    let mut cache = (lru::LruCache::<u32, Box<[u8]>>::unbounded(), 0, 0);
    let run = |(lru, bytes, bytes_max): &mut (lru::LruCache<u32, Box<[u8]>>, usize, usize),
               keys: &[u32]| {
        let mut hits = 0;
        for key in keys {
            if let Some(value) = lru.get(key) {
                hits += 1;
                black_box(value[0]);
                continue;
            }
            let value = task.value(*key);
            lru.put(*key, value.into());
            *bytes += value.len();
            while *bytes > task.capacity {
                let (_, oldest) = lru.pop_lru().expect("what is over the capacity is there");
                *bytes -= oldest.len();
            }
            *bytes_max = (*bytes_max).max(*bytes);
        }
        hits
    };
    let (hits, operation_ns) = timed(task, &mut cache, run, |_| ());
    Outcome { hits, operation_ns, bytes_max: cache.2 }
}

#[cfg(feature = "caches")]
fn by_moka(task: &Task<'_>) -> Outcome {
    use std::sync::Arc;

    let weigher = |_: &u32, value: &Arc<[u8]>| value.len() as u32;
    let mut cache = moka::sync::Cache::<u32, Arc<[u8]>>::builder()
        .max_capacity(task.capacity as u64)
        .weigher(weigher)
        .build();
    let run = |moka: &mut moka::sync::Cache<u32, Arc<[u8]>>, keys: &[u32]| {
        let mut hits = 0;
        for key in keys {
            if let Some(value) = moka.get(key) {
                hits += 1;
                black_box(value[0]);
                continue;
            }
            moka.insert(*key, task.value(*key).into());
        }
        hits
    };
    let (hits, operation_ns) = timed(task, &mut cache, run, |moka| moka.run_pending_tasks());
    cache.run_pending_tasks();
    // What it has in between it does not say.
    Outcome { hits, operation_ns, bytes_max: cache.weighted_size() as usize }
}

type Contender = (&'static str, fn(&Task<'_>) -> Outcome);

/// The name of the contender that is to hit what `LRU` hits.
const LIMITED: &str = "cspace, map with a limit";
const LRU: &str = "lru";

const CONTENDERS: &[Contender] = &[
    (LIMITED, limited),
    ("cspace, threshold of 100 %", |task| by_threshold(task, 100)),
    ("cspace, threshold of 95 %", |task| by_threshold(task, 95)),
    #[cfg(feature = "caches")]
    (LRU, by_lru),
    #[cfg(feature = "caches")]
    ("moka", by_moka),
];

/// A table for each trace.
pub(super) fn hits(options: &Options) {
    let keys = options.keys;
    for trace in [Trace::zipf(keys, options.lookups), Trace::zipf_and_scan(keys, options.lookups)] {
        let task = Task { capacity: trace.bytes(keys) / 10, trace: &trace };
        table(options, &task);
    }
}

fn table(options: &Options, task: &Task<'_>) {
    let (counted, capacity) = (task.parts()[1].len(), task.capacity as f64);
    println!(
        "### hits, {}: {counted} look-ups, {} MB of values fit\n",
        task.trace.name,
        significant(capacity / 1e6)
    );
    println!("| | hit ratio, % | ns for a look-up | at most resident, % of the capacity |");
    println!("|---|--:|--:|--:|");
    let hits_of = CONTENDERS.iter().map(|(name, contender)| {
        let runs: Vec<_> = (0..options.runs).map(|_| contender(task)).collect();
        let median = |of: fn(&Outcome) -> f64| median(runs.iter().map(of));
        println!(
            "| {name} | {:.2} | {} | {:.1} |",
            100.0 * median(|run| run.hits as f64) / counted as f64,
            significant(median(|run| run.operation_ns)),
            100.0 * median(|run| run.bytes_max as f64) / capacity,
        );
        (*name, median(|run| run.hits as f64))
    });
    let hits_of: std::collections::HashMap<_, _> = hits_of.collect();
    if let Some(of_lru) = hits_of.get(LRU) {
        assert_eq!(
            hits_of[LIMITED], *of_lru,
            "a map with a limit in bytes is to let go of exactly what was used least recently, as `lru` does"
        );
    }
    println!();
}
