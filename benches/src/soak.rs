//! Does a program that uses everything at once for minutes keep what it has and lose nothing?
//!
//! Four spaces, each collected in a way of its own: by a worker, by a pool, by a driver on a thread of this program's,
//! at safepoints. Threads make graphs in them with every holder, merge spaces of single requests into them and them into
//! each other, load caches, charge, and allocate native memory, while periods and limits change and collectors are stopped
//! and started. Graphs belong to a generation and refer to none but their own, and generations last half a second: what is
//! live is bounded, so what is resident has to be.
//!
//! In the end everything that was made was dropped once, each cleaner ran once, and no object, root or charge is left.

mod graph;
mod mutator;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use cspace::{CSpace, Event, EvictableCache, GcMode, GcPool};

use crate::measure::rss_bytes;
use graph::{NodeFamily, NodeRoot};
use mutator::Mutator;

/// What to run.
#[derive(Parser, Debug)]
#[command(
    about = "Uses everything at once, watches the memory, and counts what is left in the end",
    after_help = "Fails if memory grows from the first third of the time to the last by more than half and 48 MiB, or if \
                  anything is left, lost, dropped twice or damaged in the end."
)]
pub struct Options {
    /// For so long.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(3..))]
    seconds: u64,
    /// With so many threads that change graphs.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    /// What the threads' random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const SAMPLE_EVERY: Duration = Duration::from_millis(250);
const GENERATION_SAMPLES: usize = 2;
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Objects of one space, and everything of one space.
const HEAP_BYTES_MAX: usize = 64 << 20;
const BYTES_MAX: usize = 96 << 20;
/// What may be added to one and a half of what was resident in the first third.
const MARGIN: u64 = 48 << 20;
/// Longer than any cycle takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was made, and what came of it.
#[derive(Default)]
struct Counts {
    objects_made: AtomicUsize,
    objects_dropped: AtomicUsize,
    cleaners_made: AtomicUsize,
    cleaners_run: AtomicUsize,
    collections: AtomicUsize,
    merges: AtomicUsize,
    refused: AtomicUsize,
    loads: AtomicUsize,
    twice: AtomicUsize,
}

struct World {
    spaces: [CSpace; 4],
    pool: GcPool,
    /// A space that is merged into no other and is never full, and a cache in it.
    library: CSpace,
    cache: EvictableCache<u64, NodeFamily>,
    /// Roots that threads hand to each other.
    lot: Mutex<Vec<NodeRoot>>,
    generation: AtomicU64,
    stop: AtomicBool,
    counts: Arc<Counts>,
}

impl World {
    fn new() -> World {
        let pool = GcPool::new(2).expect("the system gives two threads");
        let counts = Arc::new(Counts::default());
        let build = |name: &str, mode: Option<GcMode>| {
            let counts = Arc::clone(&counts);
            let builder = CSpace::builder()
                .name(name)
                .max_heap_bytes(HEAP_BYTES_MAX)
                .memory_limit(BYTES_MAX)
                .eviction_threshold(1 << 20)
                .gc_budget_floor(256 << 10)
                .gc_period(Duration::from_millis(20))
                .on_event(move |event: &Event| {
                    if let Event::Collected(_) = event {
                        counts.collections.fetch_add(1, Relaxed);
                    }
                });
            let builder = match mode {
                Some(mode) => builder.gc(mode),
                None => builder.gc_pool(&pool),
            };
            builder.build().expect("the system gives a thread")
        };
        let spaces = [
            build("worker", Some(GcMode::Worker)),
            build("pool", None),
            build("driver", Some(GcMode::Manual)),
            build("safepoints", Some(GcMode::Safepoints)),
        ];
        let library = CSpace::builder().name("library").max_evictable_objects(100).build();
        let library = library.expect("the system gives a thread");
        let cache = library.exclusive(|cx| EvictableCache::new(cx));
        World {
            spaces,
            pool,
            library,
            cache,
            lot: Mutex::default(),
            generation: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            counts,
        }
    }

    fn lot(&self) -> std::sync::MutexGuard<'_, Vec<NodeRoot>> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects the space that no thread of the library does, also after others have stopped that.
    fn drive(&self) {
        let space = &self.spaces[2];
        while !self.stop.load(Relaxed) {
            // Another thread may be stopping the driver before.
            let Ok(mut driver) = space.gc_driver() else {
                thread::yield_now();
                continue;
            };
            while !self.stop.load(Relaxed) && driver.wait_for_garbage_collect() {
                // A merge may have made a cycle vain, or another thread be collecting.
                let _ = driver.try_collect();
            }
        }
    }
}

/// The middle one of some figures.
fn median(figures: &[u64]) -> u64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// A failure, if figures grew from the first third to the last beyond the margin.
fn growth(what: &str, figures: &[u64]) -> Option<String> {
    let third = figures.len() / 3;
    if third == 0 {
        return None;
    }
    let (first, last) = (median(&figures[..third]), median(&figures[figures.len() - third..]));
    println!("{what}: {} MiB in the first third, {} MiB in the last", first >> 20, last >> 20);
    (last > first + first / 2 + MARGIN)
        .then(|| format!("{what} grows: from {first} bytes to {last}"))
}

/// Runs, and says whether all was well.
pub fn main(options: &Options) -> ExitCode {
    let failures = run(options);
    for failure in &failures {
        eprintln!("soak: {failure}");
    }
    if failures.is_empty() {
        println!("nothing is lost, nothing is left");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(options: &Options) -> Vec<String> {
    let world = World::new();
    let (mut resident, mut committed) = (Vec::new(), Vec::new());
    thread::scope(|threads| {
        threads.spawn(|| world.drive());
        for thread in 0..options.threads {
            let (world, seed) = (&world, options.seed << 8 | thread);
            threads.spawn(move || Mutator::new(world, seed).run());
        }
        watch(&world, Duration::from_secs(options.seconds), &mut resident, &mut committed);
        world.stop.store(true, Relaxed);
        // Ends the driver's wait.
        let _ = world.spaces[2].stop_gc();
    });
    let mut failures = Vec::new();
    failures.extend(growth("resident", &resident));
    failures.extend(growth("committed", &committed));
    end(world, &mut failures);
    failures
}

/// Samples the memory, and begins generations.
fn watch(world: &World, time: Duration, resident: &mut Vec<u64>, committed: &mut Vec<u64>) {
    let (begun, mut told) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < time {
        thread::sleep(SAMPLE_EVERY);
        committed.push(world.spaces.iter().map(|space| space.memory().committed as u64).sum());
        resident.extend(rss_bytes());
        if committed.len() % GENERATION_SAMPLES == 0 {
            world.generation.fetch_add(1, Relaxed);
            world.lot().clear();
        }
        if begun.elapsed() >= told + PROGRESS_EVERY {
            told = begun.elapsed();
            tell(world, told, resident.last().copied().unwrap_or(0));
        }
    }
}

fn tell(world: &World, elapsed: Duration, resident: u64) {
    let Counts { objects_made, collections, merges, refused, loads, .. } = &*world.counts;
    let of = |count: &AtomicUsize| count.load(Relaxed);
    println!(
        "{:4} s: {} MiB resident, {} objects made, {} collections, {} merges, {} loads, {} times full",
        elapsed.as_secs(),
        resident >> 20,
        of(objects_made),
        of(collections),
        of(merges),
        of(loads),
        of(refused),
    );
}

/// Lets go of everything and counts what is left.
fn end(world: World, failures: &mut Vec<String>) {
    let World { spaces, pool, library, cache, lot, counts, .. } = world;
    drop((cache, lot));
    let spaces: Vec<CSpace> = spaces.into_iter().chain([library]).collect();
    for space in &spaces {
        space.set_gc_period(None);
        if let Err(error) = space.stop_gc() {
            failures.push(format!("`{}` cannot be stopped: {error}", space.name()));
        }
    }
    for space in &spaces {
        let name = space.name();
        // Twice: what the first sweep drops lets go of handles.
        for _ in 0..2 {
            if let Err(error) = space.synchronous_gc() {
                failures.push(format!("`{name}` cannot be collected: {error}"));
            }
        }
        match space.verify() {
            Ok(report) if report.is_clean() => {}
            Ok(report) => failures.push(format!("`{name}` is damaged: {report}")),
            Err(error) => failures.push(format!("`{name}` cannot be verified: {error}")),
        }
        let (objects, roots, charged) =
            (space.num_objects(), space.num_roots(), space.ledger().charged());
        if (objects, roots, charged) != (0, 0, 0) {
            failures.push(format!(
                "`{name}` has {objects} objects, {roots} roots and {charged} bytes left"
            ));
        }
    }
    drop((spaces, pool));
    let of = |count: &AtomicUsize| count.load(Relaxed);
    let is_even = || {
        of(&counts.objects_made) == of(&counts.objects_dropped)
            && of(&counts.cleaners_made) == of(&counts.cleaners_run)
    };
    // Spaces of requests may be on their way out on a thread of the pool.
    let begun = Instant::now();
    while !is_even() && begun.elapsed() < PATIENCE {
        thread::yield_now();
    }
    let (made, dropped) = (of(&counts.objects_made), of(&counts.objects_dropped));
    let (registered, ran) = (of(&counts.cleaners_made), of(&counts.cleaners_run));
    println!("{made} objects made, {dropped} dropped; {registered} cleaners, {ran} run");
    if !is_even() || of(&counts.twice) > 0 {
        failures.push(format!(
            "{dropped} of {made} objects dropped, {ran} of {registered} cleaners run, {} twice",
            of(&counts.twice)
        ));
    }
    let seen = [
        ("collection", &counts.collections),
        ("merge", &counts.merges),
        ("load", &counts.loads),
        ("lack of room", &counts.refused),
    ];
    for (what, count) in seen {
        if of(count) == 0 {
            failures.push(format!("there was no {what}: nothing was tested"));
        }
    }
}
