//! Eviction: what a touch costs, and what a choice; and how often a cache hits.
//!
//! ```text
//! cargo run --release -p cspace-benches --features caches --bin evict
//! cargo run --release -p cspace-benches --features caches --bin evict -- hits --runs 3
//! ```
//!
//! *Touch*: threads look up entries of a full cache at random, in one shared access each. To be read beside `lru`
//! in a mutex, which moves an entry in a list for each look-up, and `moka`, which notes it in a buffer for later.
//! `cspace` is the touch alone, of a reference at hand; `cspace, found` looks it up in a `HashMap` before, as the
//! others do, though with `std`'s slower hash. The figure is the time on the clock for one look-up of all threads together; the processor time in
//! brackets says how much work that was, which is what counts where there are fewer processors than threads.
//!
//! *Choose*: a collection of a space with many evictable objects, phase by phase. What the choice itself takes is
//! from the moment when the policy is asked to when it has answered; what it takes to find, to sort and to mark
//! comes on top and is in the mark. `held` is the same heap without an evictable reference, for comparison.
//!
//! *Hits*: one thread looks up keys, and makes a value when there is none, in caches that hold a tenth of the bytes
//! of all values: by Zipf's law, and with a scan over as many other keys that takes every second turn and never
//! hits, so that half is the most there. Values are 64 to 4096 bytes, whatever the key's rank. To be read
//! beside `lru`, which is popped until its values fit, and `moka`, which keeps what is used often rather than what
//! was used last. A map with a limit of its own is exact, so it must hit what `lru` hits, which is checked. A space's
//! threshold is looked at in collections alone: here when a twentieth of the capacity was inserted, so that with a
//! threshold of 95 % no more is there than the others may have. The figures include all collections.

mod hits;
mod trace;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use cpu_time::ProcessTime;
use cspace::collector::{Candidate, EvictionPolicy, ForCollectors, LockWait, MarkPhase, Residents};
use cspace::{EvictableRoot, Evictor, Space};

use crate::random::Random;
use crate::summary::Summary;
use crate::table::significant;

/// The command line of `evict`.
#[derive(Parser, Debug)]
#[command(about = "Measures eviction")]
pub struct Options {
    /// What to measure; all if none is given.
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// How often each figure is measured; the table has the median.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Look-ups of all threads together.
    #[arg(long, default_value_t = 4_000_000)]
    touches: usize,
    /// Entries that they choose from.
    #[arg(long, default_value_t = 10_000)]
    entries: u64,
    /// Evictable objects to choose victims from.
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// Look-ups of each trace, of which the first quarter fills the cache and is not counted.
    #[arg(long, default_value_t = 1_000_000)]
    lookups: usize,
    /// Keys of the Zipf trace; there are as many others in the scan.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..1 << 31))]
    keys: u32,
}

/// What is measured.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    /// What a look-up costs, by threads.
    Touch,
    /// What a choice of victims costs.
    Choose,
    /// Hit ratios of two traces, and what a look-up costs in them.
    Hits,
}

const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// The main function of the command.
pub fn main(options: &Options) {
    let is_asked = |case| options.cases.is_empty() || options.cases.contains(&case);
    if is_asked(Case::Touch) {
        touch(options);
    }
    if is_asked(Case::Choose) {
        choose(options);
    }
    if is_asked(Case::Hits) {
        hits::hits(options);
    }
}

/// Nanoseconds on the clock and of processors, for one look-up.
struct PerTouch {
    wall: f64,
    cpu: f64,
}

/// Runs `thread` on each of so many threads, with the entries that it looks up.
fn timed(options: &Options, threads: usize, thread: impl Fn(&[u64]) -> u64 + Sync) -> PerTouch {
    let share = options.touches / threads;
    let (begin, end) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        for number in 0..threads {
            let (thread, begin, end) = (&thread, &begin, &end);
            scope.spawn(move || {
                let mut random = Random::new(number as u64 + 1);
                let keys: Vec<u64> = (0..share).map(|_| random.below(options.entries)).collect();
                begin.wait();
                black_box(thread(&keys));
                end.wait();
            });
        }
        begin.wait();
        let (wall, cpu) = (Instant::now(), ProcessTime::now());
        end.wait();
        let per = |time: Duration| time.as_nanos() as f64 / (share * threads) as f64;
        PerTouch { wall: per(wall.elapsed()), cpu: per(cpu.elapsed()) }
    })
}

fn touch(options: &Options) {
    let space = Space::builder().build().expect("the settings are valid");
    let roots: Vec<EvictableRoot<u64>> = space.exclusive(|cx| {
        (0..options.entries).map(|number| cx.evictable_root(cx.alloc(number))).collect()
    });
    let map: HashMap<u64, EvictableRoot<u64>> = (0..).zip(roots.iter().cloned()).collect();
    let alone = |keys: &[u64]| {
        space.shared(|cx| {
            let handles: Vec<_> = roots.iter().map(|root| root.evictable(cx)).collect();
            keys.iter().map(|key| *handles[*key as usize].get(cx).expect("all are kept")).sum()
        })
    };
    let found = |keys: &[u64]| {
        space.shared(|cx| keys.iter().map(|key| *map[key].get(cx).expect("all are kept")).sum())
    };
    type Contender<'a> = (&'static str, Box<dyn Fn(&[u64]) -> u64 + Sync + 'a>);
    #[allow(unused_mut)]
    let mut contenders: Vec<Contender<'_>> =
        vec![("cspace", Box::new(alone)), ("cspace, found", Box::new(found))];
    #[cfg(feature = "caches")]
    contenders.extend(peers(options.entries));
    println!("### touch: ns for one of all threads together (processor ns)\n");
    println!("| |{}", THREADS.map(|threads| format!(" {threads} threads |")).concat());
    println!("|---|{}", THREADS.map(|_| "--:|").concat());
    for (name, contender) in &contenders {
        let cells = THREADS.map(|threads| {
            let runs: Vec<_> =
                (0..options.runs).map(|_| timed(options, threads, contender)).collect();
            let median = |of: fn(&PerTouch) -> f64| significant(median(runs.iter().map(of)));
            format!(" {} ({}) |", median(|run| run.wall), median(|run| run.cpu))
        });
        println!("| {name} |{}", cells.concat());
    }
    println!();
}

#[cfg(feature = "caches")]
type Peer = (&'static str, Box<dyn Fn(&[u64]) -> u64 + Sync>);

#[cfg(feature = "caches")]
fn peers(entries: u64) -> [Peer; 2] {
    let capacity = std::num::NonZeroUsize::new(entries as usize).expect("there are entries");
    let mut lru = lru::LruCache::new(capacity);
    let moka = moka::sync::Cache::new(entries);
    for number in 0..entries {
        lru.put(number, number);
        moka.insert(number, number);
    }
    moka.run_pending_tasks();
    let lru = parking_lot::Mutex::new(lru);
    // What the others have in the cache the eviction policy of moka may refuse: a miss counts as one.
    let in_lru = move |keys: &[u64]| -> u64 {
        keys.iter().map(|key| lru.lock().get(key).copied().unwrap_or(0)).sum()
    };
    let in_moka =
        move |keys: &[u64]| -> u64 { keys.iter().map(|key| moka.get(key).unwrap_or(0)).sum() };
    [("lru in a mutex", Box::new(in_lru)), ("moka", Box::new(in_moka))]
}

/// An evictor that is watched.
struct Timed {
    evictor: Arc<Evictor>,
    asked: Mutex<Option<Instant>>,
    took: Mutex<Duration>,
}

impl EvictionPolicy for Timed {
    fn is_over(&self, residents: &Residents) -> bool {
        let asked = Instant::now();
        let over = self.evictor.is_over(residents);
        *self.asked.lock().expect("nothing panics") = Some(asked);
        over
    }
    fn choose(&self, residents: &Residents, candidates: &mut [Candidate]) -> usize {
        let count = self.evictor.choose(residents, candidates);
        let asked = self.asked.lock().expect("nothing panics").expect("asked before");
        *self.took.lock().expect("nothing panics") += asked.elapsed();
        count
    }
    fn note(&self, residents: &Residents) {
        self.evictor.note(residents);
    }
}

/// What a cycle took.
struct Cycle {
    mark: Duration,
    choice: Duration,
    finish: Duration,
}

/// A collection of a space with so many objects, of which so many may stay; none: no evictable references.
fn cycle(objects: u64, threshold: Option<usize>) -> Cycle {
    let evictor = Evictor::new();
    let timed = Timed { evictor, asked: Mutex::default(), took: Mutex::default() };
    timed.evictor.set_eviction_threshold(threshold);
    let policy = Arc::new(timed);
    let space = Space::builder()
        .eviction_policy(policy.clone())
        .gc_budget_floor(1 << 40)
        .build()
        .expect("the settings are valid");
    let held = space.exclusive(|cx| {
        let mut held = (Vec::new(), Vec::new());
        for number in 0..objects {
            let object = cx.alloc(number);
            match threshold {
                Some(_) => held.0.push(cx.evictable_with_size(object, 1)),
                None => held.1.push(object),
            }
        }
        // Touched in an order that is not that of memory.
        let mut random = Random::new(7);
        for _ in 0..held.0.len() {
            held.0[random.below(objects) as usize].set_touched(cx);
        }
        cx.own_root(held)
    });
    let claim = space.try_claim_cycle().expect("nobody collects");
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).expect("nobody has the lock");
    let begun = Instant::now();
    phase.mark().expect("no visit panics");
    let mark = begun.elapsed();
    let finish = phase.try_finish(Duration::from_secs(60)).unwrap_or_else(|_| unreachable!());
    let (batch, report) = finish.condemn().expect("no visit panics");
    let _ = batch.reclaim();
    let evicted = objects.saturating_sub(threshold.map_or(objects, |threshold| threshold as u64));
    assert_eq!(report.objects_evicted as u64, evicted, "the policy did not do its work");
    drop(held);
    let choice = *policy.took.lock().expect("nothing panics");
    Cycle { mark, choice, finish: report.finish }
}

fn choose(options: &Options) {
    let objects = options.objects;
    let cases = [
        ("held, no evictable references", None),
        ("within the threshold", Some(objects as usize)),
        ("one goes", Some(objects as usize - 1)),
        ("half goes", Some(objects as usize / 2)),
        ("all go", Some(0)),
    ];
    println!("### choose among {objects}: medians\n");
    println!("| | choice, ns each | mark, ms | mark, ns each | finish, µs |");
    println!("|---|--:|--:|--:|--:|");
    for (name, threshold) in cases {
        let runs: Vec<_> = (0..options.runs).map(|_| cycle(objects, threshold)).collect();
        let ns =
            |of: fn(&Cycle) -> Duration| median(runs.iter().map(|run| of(run).as_nanos() as f64));
        let (choice, mark, finish) =
            (ns(|run| run.choice), ns(|run| run.mark), ns(|run| run.finish));
        println!(
            "| {name} | {} | {} | {} | {} |",
            significant(choice / objects as f64),
            significant(mark / 1e6),
            significant(mark / objects as f64),
            significant(finish / 1e3),
        );
    }
    println!();
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    Summary::of(figures).map_or(0.0, |summary| summary.median)
}
