//! The collector gets its turn beside busy threads, and they get theirs beside it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cspace::{Builder, CSpace, Event, GcMode};

use super::case::{Case, Figure};
use super::graph::{self, NodeRoot};
use super::options::{Part, Sizes};
use super::waits::{ThreadWaits, Waits};
use crate::random::Random;

/// What mutators allocate at a time.
const BATCH: u64 = 64;
/// Live objects beside mutators that allocate.
const LIVE_SMALL: u64 = 1000;
/// What they may allocate between two collections, as a multiple of what is live: 320 MB.
const BUDGET_FACTOR: f64 = 10_000.0;
/// How long a reader stays that is long for a reader of a stream.
const READ: Duration = Duration::from_micros(20);
/// How long two readers stay together that have found each other.
const STAY: Duration = Duration::from_millis(2);
/// After this long a thread is taken to wait for ever.
const HUNG: Duration = Duration::from_secs(20);

/// What a reader may be kept waiting, in µs: with what the system adds, and without.
const STALL_TARGET: f64 = 1000.0;
const STALL_TARGET_APART: f64 = 200.0;

pub(super) static CASES: &[Case] = &[
    Case {
        name: "cycles-beside-holder",
        part: Part::Fairness,
        question: "A thread holds the lock throughout and allocates, with a safepoint after every 64 \
                   objects; 1000 objects live. How often does a period of 1 ms collect (1000 a second would \
                   be cycles that take no time), and how long does the collector wait for the lock?",
        run: |sizes| beside_mutators(sizes, &[hold]),
    },
    Case {
        name: "cycles-beside-accesses",
        part: Part::Fairness,
        question: "The same beside four threads that make short exclusive accesses, of 64 objects each.",
        run: |sizes| beside_mutators(sizes, &[access as Mutator; 4]),
    },
    Case {
        name: "writer",
        part: Part::Fairness,
        question: "Cycles run back to back over many live objects. How long does a writer wait that comes \
                   during a mark? To read against the length of a mark.",
        run: |sizes| writer(sizes, 0),
    },
    Case {
        name: "writer-beside-readers",
        part: Part::Fairness,
        question: "The same with two readers that come and go, 20 µs each, so that the lock is hardly ever \
                   free; whenever the writer comes.",
        run: |sizes| writer(sizes, 2),
    },
    Case {
        name: "reader",
        part: Part::Fairness,
        question: "Cycles run back to back over many live objects. How long does a reader wait that does \
                   nothing but come and go? With and without the time that its thread could run and did not; \
                   and with the collector stopped, which is this machine's own noise.",
        run: reader,
    },
    Case {
        name: "readers-in-pairs",
        part: Part::Fairness,
        question: "The same with two readers that wait for each other inside and then stay for 2 ms. How \
                   long does the second one wait to come in, and do cycles complete?",
        run: readers_in_pairs,
    },
];

/// What a thread does until it is told to stop; how many objects it allocated.
type Mutator = fn(&CSpace, &AtomicBool) -> u64;

/// Tells threads to stop, also when a panic gets here.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

// ---- (a) how the collector fares

fn hold(space: &CSpace, stop: &AtomicBool) -> u64 {
    let mut lock = space.lock();
    let mut count = 0;
    while !stop.load(Relaxed) {
        lock.scope(|cx| {
            for key in 0..BATCH {
                graph::node(cx, key);
            }
        });
        count += BATCH;
        lock.safepoint();
    }
    count
}

fn access(space: &CSpace, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    while !stop.load(Relaxed) {
        space.exclusive(|cx| {
            for key in 0..BATCH {
                graph::node(cx, key);
            }
        });
        count += BATCH;
    }
    count
}

/// Half of the time with the space's own worker, to count cycles, and half with a driver, which is the same
/// collector on a thread that can time it.
fn beside_mutators(sizes: &Sizes, mutators: &[Mutator]) -> Result<Vec<Figure>, String> {
    let half = sizes.duration() / 2;
    let mut figures = cycles_per_second(half, mutators)?.to_vec();
    figures.extend(lock_waits(half, mutators)?.figures("the collector's wait for the lock"));
    Ok(figures)
}

fn every_millisecond() -> Builder {
    // With a budget that is not used up in that time.
    CSpace::builder().gc_period(Duration::from_millis(1)).gc_budget_factor(BUDGET_FACTOR)
}

fn cycles_per_second(duration: Duration, mutators: &[Mutator]) -> Result<[Figure; 2], String> {
    let space = every_millisecond().build().map_err(|error| error.to_string())?;
    let _live = graph::build(&space, LIVE_SMALL, 1);
    let stop = AtomicBool::new(false);
    let (cycles, allocated, elapsed) = thread::scope(|scope| {
        let stop_on_drop = StopOnDrop(&stop);
        let begun = Instant::now();
        let before = space.total_num_completed_gcs();
        let threads: Vec<_> =
            mutators.iter().map(|mutator| scope.spawn(|| mutator(&space, &stop))).collect();
        thread::sleep(duration);
        let cycles = space.total_num_completed_gcs() - before;
        let elapsed = begun.elapsed().as_secs_f64();
        drop(stop_on_drop);
        let allocated: u64 = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
        (cycles, allocated, elapsed)
    });
    Ok([
        Figure::new("cycles per second", cycles as f64 / elapsed),
        Figure::new("million objects allocated per second", allocated as f64 / elapsed / 1e6),
    ])
}

fn lock_waits(duration: Duration, mutators: &[Mutator]) -> Result<ThreadWaits, String> {
    let space =
        every_millisecond().gc(GcMode::Manual).build().map_err(|error| error.to_string())?;
    let _live = graph::build(&space, LIVE_SMALL, 1);
    let mut driver = space.gc_driver().map_err(|error| error.to_string())?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop_on_drop = StopOnDrop(&stop);
        let driver = scope.spawn(move || {
            let mut waits = ThreadWaits::new();
            while driver.wait_for_garbage_collect() {
                waits.begin();
                let begun = Instant::now();
                if let Some(report) = driver.collect() {
                    // What is neither the cycle under the lock nor the sweep is the wait.
                    waits.push(begun.elapsed().saturating_sub(report.pause + report.sweep));
                }
            }
            waits
        });
        for mutator in mutators {
            scope.spawn(|| mutator(&space, &stop));
        }
        thread::sleep(duration);
        drop(stop_on_drop);
        space.stop_gc().map_err(|error| error.to_string())?;
        driver.join().map_err(|_| "the driver panicked".to_owned())
    })
}

// ---- (b) and (c) how others fare beside marks

/// A space with many live objects.
struct Marked {
    space: CSpace,
    _live: Vec<NodeRoot>,
    /// How long each mark kept writers out.
    pauses: Arc<Mutex<Waits>>,
}

impl Marked {
    fn build(sizes: &Sizes) -> Result<Marked, String> {
        let pauses = Arc::new(Mutex::new(Waits::default()));
        let told = Arc::clone(&pauses);
        let listener = move |event: &Event| {
            if let (Event::Collected(report), Ok(mut pauses)) = (event, told.lock()) {
                pauses.push(report.pause);
            }
        };
        let space = CSpace::builder()
            .gc(GcMode::Manual)
            .on_event(listener)
            .build()
            .map_err(|error| error.to_string())?;
        let _live = graph::build(&space, sizes.objects, 1);
        space.collect().map_err(|error| error.to_string())?;
        space.set_gc_period(Duration::ZERO);
        Ok(Marked { space, _live, pauses })
    }

    /// Has cycles run back to back.
    fn start(&self) -> Result<(), String> {
        self.pauses
            .lock()
            .map(|mut pauses| *pauses = Waits::default())
            .expect("listeners do not panic");
        self.space.start_gc().map_err(|error| error.to_string())
    }

    /// Stops them; returns how many cycles there were and how long their marks took.
    fn stop(&self) -> Result<[Figure; 3], String> {
        self.space.stop_gc().map_err(|error| error.to_string())?;
        let mut pauses = self.pauses.lock().expect("listeners do not panic");
        Ok([
            Figure::new("cycles", pauses.len() as f64),
            Figure::new("a mark, p50, µs", pauses.quantile(0.5)),
            Figure::new("a mark, worst, µs", pauses.quantile(1.0)),
        ])
    }
}

fn writer(sizes: &Sizes, readers: usize) -> Result<Vec<Figure>, String> {
    let marked = Marked::build(sizes)?;
    let space = &marked.space;
    let stop = AtomicBool::new(false);
    marked.start()?;
    let waits = thread::scope(|scope| {
        let _stop_on_drop = StopOnDrop(&stop);
        for _ in 0..readers {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    space.shared(|_| {
                        let begun = Instant::now();
                        while begun.elapsed() < READ {
                            std::hint::spin_loop();
                        }
                    });
                }
            });
        }
        let mut waits = ThreadWaits::new();
        let mut random = Random::new(1);
        let end = Instant::now() + sizes.duration();
        while Instant::now() < end {
            // Not in step with the marks.
            thread::sleep(Duration::from_micros(random.below(5000)));
            waits.begin();
            let came = Instant::now();
            // With nobody else about, the lock is taken only if a mark or its finish is under way.
            if readers == 0 && space.try_exclusive(|_| ()).is_ok() {
                continue;
            }
            waits.push(space.exclusive(|_| came.elapsed()));
        }
        waits
    });
    let mut figures = marked.stop()?.to_vec();
    figures.push(Figure::new("writers counted", waits.all.len() as f64));
    figures.extend(waits.figures("a writer's wait"));
    Ok(figures)
}

fn reader(sizes: &Sizes) -> Result<Vec<Figure>, String> {
    let marked = Marked::build(sizes)?;
    let half = sizes.duration() / 2;
    let mut noise = stalls(&marked.space, half);
    marked.start()?;
    let ThreadWaits { mut all, mut apart, .. } = stalls(&marked.space, half);
    let mut figures = marked.stop()?.to_vec();
    figures.push(Figure::new("accesses", all.len() as f64));
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.99", 0.9999)] {
        figures.push(Figure::new(format!("a reader's wait, {name}, µs"), all.quantile(share)));
    }
    figures.extend([
        Figure::new("a reader's wait, worst, µs", all.quantile(1.0)).at_most(STALL_TARGET),
        Figure::new("worst apart from scheduling, µs", apart.quantile(1.0))
            .at_most(STALL_TARGET_APART),
        Figure::new("worst with the collector stopped, µs", noise.all.quantile(1.0)),
        Figure::new("the same apart from scheduling, µs", noise.apart.quantile(1.0)),
    ]);
    Ok(figures)
}

/// How long a reader waits that does nothing but come and go.
fn stalls(space: &CSpace, duration: Duration) -> ThreadWaits {
    let mut waits = ThreadWaits::new();
    let end = Instant::now() + duration;
    loop {
        let came = Instant::now();
        let entered = space.shared(|_| Instant::now());
        waits.push(entered - came);
        if entered >= end {
            return waits;
        }
    }
}

fn readers_in_pairs(sizes: &Sizes) -> Result<Vec<Figure>, String> {
    let marked = Marked::build(sizes)?;
    let space = &marked.space;
    let (to_second, from_first) = mpsc::sync_channel::<()>(0);
    let (to_first, from_second) = mpsc::sync_channel::<()>(0);
    marked.start()?;
    let waits: Result<ThreadWaits, String> = thread::scope(|scope| {
        let second = scope.spawn(move || {
            let mut waits = ThreadWaits::new();
            while from_first.recv().is_ok() {
                waits.begin();
                let came = Instant::now();
                let met =
                    |wait| to_first.send(()).map(|()| wait).map_err(|error| error.to_string());
                let wait = space
                    .shared_for(HUNG, |_| {
                        let wait = met(came.elapsed());
                        thread::sleep(STAY);
                        wait
                    })
                    .map_err(|error| format!("the second reader: {error}"))??;
                waits.push(wait);
            }
            Ok(waits)
        });
        let end = Instant::now() + sizes.duration();
        let first = || {
            while Instant::now() < end {
                space
                    .shared_for(HUNG, |_| {
                        to_second.send(()).map_err(|error| error.to_string())?;
                        from_second.recv_timeout(HUNG).map_err(|error| error.to_string())?;
                        thread::sleep(STAY);
                        Ok::<(), String>(())
                    })
                    .map_err(|error| format!("the first reader: {error}"))??;
            }
            Ok(())
        };
        let first: Result<(), String> = first();
        drop(to_second);
        let waits = second.join().map_err(|_| "the second reader panicked".to_owned())?;
        first.and(waits)
    });
    let waits = waits?;
    let mut figures = marked.stop()?.to_vec();
    figures.push(Figure::new("pairs", waits.all.len() as f64));
    let mut stalls = waits.figures("the second reader's wait");
    if let Some(apart) = stalls.pop() {
        // Nor is it longer than an attempt of the finish, until the collection is overdue.
        stalls.push(apart.at_most(STALL_TARGET));
    }
    figures.extend(stalls);
    Ok(figures)
}
