//! Collectors that never rest, beside everything that a program can do with several spaces.
//!
//! Four spaces, each collected in a way of its own, most of them back to back; threads that change their
//! graphs, hand handles around, merge the spaces into each other in every direction, stop and start the
//! collectors, and replace spaces by new ones while others have handles of them; drops and listeners that
//! do as much. In the end all is stopped, and everything that was made was dropped once.
//!
//! In rounds that are *lossless* a space is merged into its successor before it goes, so each handle
//! belongs to one of the spaces at all times.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cspace::{
    BuildError, CSpace, CollectError, Event, Exclusive, ExclusiveGuard, GcCell, GcDriver, GcMode,
    GcPool, GcRoot, LockError, LockMode, NanBox, Patience, RootStack, Rootable, Shared, Slot,
    StartError, Static, StopError, TransferError, WaitError, WeakCSpace, WeakSet, WrongSpace,
};

use crate::exchange::Exchange;
use crate::one_space::{check_machine, wait_until_gone};
use crate::rng::Rng;
use crate::things::*;
use crate::{seconds, seed, watched_for};

const SPACES: usize = 4;
const THREADS: u64 = 8;
const NAMES: u64 = 64;
const ROOTS: usize = 32;
const PARCELS: usize = 8;
const DIRECTORIES: usize = 6;
/// Threads of drivers at a time.
const DRIVERS: usize = 6;
/// A round takes a fraction of a second, under the sanitizers some.
const HANGS: Duration = Duration::from_secs(180);
/// Longer than anybody has to wait for a lock.
const PATIENCE: Duration = Duration::from_secs(100);

type DirectoryRoot = GcRoot<Rootable![Directory<'_>]>;

/// A machine, and a root that was made along with it: both always belong to the same space.
struct Parcel {
    machine: OwnedMachine,
    root: NodeRoot,
}

/// What has happened, to know that the test tests something.
#[derive(Default, Debug)]
struct Tally {
    rounds: AtomicUsize,
    things: AtomicUsize,
    merges: AtomicUsize,
    merges_during_sweeps: AtomicUsize,
    merges_refused: AtomicUsize,
    collections: AtomicUsize,
    spaces: AtomicUsize,
    foreign: AtomicUsize,
    found: AtomicUsize,
    stops: AtomicUsize,
    acts_within: AtomicUsize,
}

impl Tally {
    fn add(count: &AtomicUsize) {
        count.fetch_add(1, Relaxed);
    }
}

/// How a round is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    is_lossless: bool,
    may_poison: bool,
    visit_panics: usize,
    drop_acts: usize,
}

struct Arena {
    this: Weak<Arena>,
    kind: Kind,
    /// Older than all: held around others.
    older: CSpace,
    pool: GcPool,
    places: [Mutex<Option<CSpace>>; SPACES],
    /// Every space that there was.
    ever: Mutex<Vec<WeakCSpace>>,
    /// Spaces of a lossless round that were replaced, into which drops may still merge others.
    retired: Mutex<Vec<CSpace>>,
    drivers: Mutex<Vec<JoinHandle<()>>>,
    chaos: Arc<Chaos>,
    roots: Exchange<NodeRoot>,
    parcels: Exchange<Parcel>,
    directories: Exchange<DirectoryRoot>,
    stop: AtomicBool,
    tally: Arc<Tally>,
}

#[test]
fn collectors_that_never_rest_lose_nothing_and_keep_nothing() {
    let first = seed("collectors_that_never_rest_lose_nothing_and_keep_nothing");
    let (begun, tally) = (Instant::now(), Arc::new(Tally::default()));
    for seed in first.. {
        let what = format!("the round of CSPACE_STRESS_SEED={seed}");
        watched_for(HANGS, &what, || {
            let done = catch_unwind(AssertUnwindSafe(|| round(seed, &tally)));
            if let Err(panic) = done {
                eprintln!("stress: {what} failed; {tally:?}");
                resume_unwind(panic);
            }
        });
        if begun.elapsed() >= Duration::from_secs(seconds(10)) {
            break;
        }
    }
    eprintln!("stress: {tally:?}");
    if seconds(10) >= 5 {
        assert!(tally.merges.load(Relaxed) > 0);
        assert!(tally.foreign.load(Relaxed) > 0 && tally.found.load(Relaxed) > 0);
    }
}

fn round(seed: u64, tally: &Arc<Tally>) {
    let mut rng = Rng::new(seed);
    let kind = Kind {
        is_lossless: rng.one_in(2),
        may_poison: rng.one_in(4),
        visit_panics: if rng.one_in(3) { 3000 } else { 0 },
        drop_acts: [0, 1000, 200, 40][rng.below(4)],
    };
    let arena = Arc::new_cyclic(|this: &Weak<Arena>| {
        let arena = this.clone();
        let act = move |mut rng: Rng, _: &Arc<Chaos>| {
            if let Some(arena) = arena.upgrade() {
                arena.act_within(&mut rng);
            }
        };
        Arena {
            this: this.clone(),
            kind,
            older: CSpace::new(),
            pool: GcPool::new(2).expect("the system gives two threads"),
            places: Default::default(),
            ever: Mutex::default(),
            retired: Mutex::default(),
            drivers: Mutex::default(),
            chaos: Chaos::with_act(seed, kind.visit_panics, kind.drop_acts, Box::new(act)),
            roots: Exchange::new(ROOTS),
            parcels: Exchange::new(PARCELS),
            directories: Exchange::new(DIRECTORIES),
            stop: AtomicBool::new(false),
            tally: Arc::clone(tally),
        }
    });
    // The way of each place's first space: every way is there in most rounds.
    let way = rng.below(WAYS);
    for (i, place) in arena.places.iter().enumerate() {
        let space = arena.build(&mut rng, Some(way + i));
        *lock(place) = Some(space);
    }
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let arena = &arena;
            threads.spawn(move || {
                let rng = Rng::new(seed << 8 | thread);
                Mutator { arena, rng, spaces: arena.spaces() }.run();
            });
        }
        std::thread::sleep(Duration::from_millis(100 + rng.below(400) as u64));
        arena.stop.store(true, Relaxed);
    });
    arena.end(&mut rng);
    Tally::add(&tally.rounds);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ways in which a space is collected; the last one is nobody's.
const WAYS: usize = 7;

impl Arena {
    /// A new space, collected in one of several ways.
    fn build(&self, rng: &mut Rng, way: Option<usize>) -> CSpace {
        let way = way.unwrap_or_else(|| rng.below(WAYS + 1)) % (WAYS + usize::from(rng.one_in(4)));
        let builder = CSpace::builder()
            .name(format!("way {way}"))
            .poison_freed(true)
            .stress(rng.one_in(8))
            .gc_budget_floor(1 << (12 + rng.below(8)))
            .turn(Duration::from_micros(rng.below(1200) as u64))
            .gc_patience(match rng.below(3) {
                // Long attempts from the start.
                0 => Patience { debt: Duration::ZERO, ..Patience::default() },
                _ => Patience::default(),
            });
        let listener = {
            let (arena, chaos) = (self.this.clone(), Arc::downgrade(&self.chaos));
            move |event: &Event| {
                let (Some(arena), Some(chaos)) = (arena.upgrade(), chaos.upgrade()) else { return };
                if let Event::Collected(_) = event {
                    Tally::add(&arena.tally.collections);
                }
                drop(arena);
                chaos.act_by_chance();
            }
        };
        let builder = builder.on_event(listener);
        let builder = match way {
            0 | 1 => builder.gc_pool(&self.pool).gc_period(Duration::ZERO),
            2 => builder.gc_period(Duration::ZERO),
            3 => builder.gc(GcMode::Manual).gc_period(Duration::ZERO),
            4 => builder.gc_period(Duration::from_millis(1)),
            5 => builder.gc_pool(&self.pool).gc_period(Duration::from_millis(1)),
            6 => builder.gc(GcMode::Safepoints),
            _ => builder.gc(GcMode::Off),
        };
        let space = builder.build().unwrap_or_else(|error| match error {
            BuildError::NotStarted { space, .. } => space,
            error => panic!("{error}"),
        });
        match way {
            2 => space.set_milli_secs_per_gc(-1),
            3 => self.take_seat(&space, rng),
            _ => {}
        }
        if rng.one_in(2) {
            space.on_transaction_begin(|cx| _ = cx.alloc(1u64));
            space.on_transaction_end(|cx| assert_eq!(*cx.alloc(1u64), 1));
        }
        lock(&self.ever).push(space.downgrade());
        Tally::add(&self.tally.spaces);
        space
    }

    /// Runs the collections of a space on a thread of ours, if nobody runs them.
    fn take_seat(&self, space: &CSpace, rng: &mut Rng) {
        let (over, count) = {
            let mut drivers = lock(&self.drivers);
            let (over, running): (Vec<_>, Vec<_>) =
                drivers.drain(..).partition(|thread| thread.is_finished());
            *drivers = running;
            (over, drivers.len())
        };
        for thread in over {
            thread.join().expect("a driver does not panic");
        }
        if count >= DRIVERS {
            return;
        }
        match space.gc_driver() {
            Ok(driver) => {
                let rng = Rng::new(rng.next());
                let thread = std::thread::spawn(move || drive(driver, rng));
                lock(&self.drivers).push(thread);
            }
            Err(
                StartError::Occupied { .. }
                | StartError::NoCollector { .. }
                // In a drop, or a listener.
                | StartError::InSweep { .. }
                | StartError::HoldsSpace { .. }
                | StartError::FromCollector { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn spaces(&self) -> [CSpace; SPACES] {
        std::array::from_fn(|place| self.space_at(place).expect("the round is not over"))
    }

    fn space_at(&self, place: usize) -> Option<CSpace> {
        lock(&self.places[place]).clone()
    }

    /// Merges; what is not to be a failure comes back as an error.
    fn merge(&self, target: &CSpace, source: &CSpace, wait: bool) -> Result<(), TransferError> {
        let merged = match wait {
            true => target.transfer_from(source),
            false => target.try_transfer_from(source),
        };
        match merged {
            Ok(report) => {
                Tally::add(&self.tally.merges);
                if report.sweep_under_way {
                    Tally::add(&self.tally.merges_during_sweeps);
                }
                Ok(())
            }
            Err(error) => {
                Tally::add(&self.tally.merges_refused);
                match &error {
                    TransferError::Lock(LockError::WouldBlock { .. }) => assert!(!wait, "{error}"),
                    TransferError::Lock(LockError::Poisoned { .. }) => {
                        self.unpoison(source, target)
                    }
                    TransferError::SameSpace { .. } => assert!(CSpace::ptr_eq(source, target)),
                    TransferError::HoldsSpace => {}
                    _ => panic!("{error}"),
                }
                Err(error)
            }
        }
    }

    /// Drops of owned values whose space is gone run where their handles are dropped, which may be an access.
    fn may_poison(&self) -> bool {
        self.kind.may_poison || self.kind.drop_acts > 0
    }

    fn unpoison(&self, a: &CSpace, b: &CSpace) {
        assert!(self.may_poison(), "nobody panicked");
        a.clear_poison();
        b.clear_poison();
    }

    /// Merges everything of one space into another, by a thread that holds nothing.
    fn drain(&self, source: &CSpace, target: &CSpace) {
        while !CSpace::ptr_eq(source, target) && self.merge(target, source, true).is_err() {}
    }

    /// What drops of a careless program do, and listeners. Nothing here may be waited for without an end, as
    /// the thread may hold spaces, and every error is one.
    fn act_within(&self, rng: &mut Rng) {
        Tally::add(&self.tally.acts_within);
        let (a, b) = (self.space_at(rng.below(SPACES)), self.space_at(rng.below(SPACES)));
        let (Some(a), Some(b)) = (a, b) else { return };
        let brief = Duration::from_millis(rng.below(5) as u64);
        match rng.below(18) {
            // A second panic would abort.
            0 if !std::thread::panicking() => resume_unwind(Box::new(DROP_PANICS)),
            1 => {
                let life = self.chaos.life();
                let _ = a.exclusive_for(brief, |cx| {
                    cx.alloc(Static(life));
                });
            }
            2 => {
                let root = a.exclusive_for(brief, |cx| cx.root(node(cx, &self.chaos, None)));
                drop(root.map(|root| self.roots.put(rng.below(ROOTS), root)));
            }
            3 => drop(a.synchronous_gc()),
            4 => {
                let inner = CSpace::builder().gc_period(Duration::ZERO).poison_freed(true).build();
                let inner = inner.expect("the system gives a thread");
                let root = inner.exclusive(|cx| {
                    cx.alloc(Static(self.chaos.life()));
                    cx.root(cx.alloc(Static(self.chaos.life())))
                });
                if rng.one_in(2) {
                    let _ = b.transfer_from(&inner);
                }
                drop(inner);
                drop(root);
            }
            5 => drop(a.shared_for(brief, |cx| cx.num_objects())),
            6 => a.request_gc(),
            7 => drop(self.roots.take(rng.below(ROOTS))),
            8 => drop(self.parcels.take(rng.below(PARCELS))),
            9 => set_period(&a, rng),
            10 => {
                // One after the other, or in an order that another thread does not have.
                drop(a.stop_gc());
                drop(b.stop_gc());
                drop(b.start_gc());
                drop(a.start_gc());
            }
            11 | 12 => drop(self.merge(&a, &b, rng.one_in(2))),
            13 => drop(a.wait_for_gc_after(a.total_num_completed_gcs(), brief)),
            14 => {
                a.request_yield();
                a.memory();
                a.num_roots();
                a.stats();
            }
            15 => self.take_seat(&a, rng),
            16 => {
                if let Some(root) = self.roots.take(rng.below(ROOTS)) {
                    self.roots.put(rng.below(ROOTS), root.clone());
                }
            }
            _ => drop(a.destroy().map_err(|a| drop((a, b)))),
        }
    }

    /// Everybody has left: stops everything, and sees that nothing is wrong and nothing is left.
    fn end(self: Arc<Self>, rng: &mut Rng) {
        self.chaos.calm();
        let places = std::array::from_fn(|i| lock(&self.places[i]).take());
        let places: [CSpace; SPACES] = places.map(|space| space.expect("the round was not over"));
        self.older.clear_poison();
        for retired in std::mem::take(&mut *lock(&self.retired)) {
            self.drain(&retired, &places[0]);
        }
        for space in &places {
            space.clear_poison();
            space.stop_gc().expect("this thread holds nothing");
            assert!(!space.is_gc_running());
        }
        for (i, space) in places.iter().enumerate() {
            assert!(!space.is_gc_running());
            match space.synchronous_gc() {
                Ok(_) | Err(CollectError::NoCollector { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            let completed = space.total_num_completed_gcs();
            let report = space.verify().expect("nobody is inside");
            assert!(report.is_clean(), "place {i}: {report}");
            assert_eq!(space.total_num_completed_gcs(), completed, "somebody still collects");
        }
        self.census(&places);
        let this = self.until_alone();
        let Arena { older, pool, ever, drivers, chaos, roots, parcels, directories, tally, .. } =
            this;
        match rng.below(4) {
            0 => {
                drop((roots, parcels, directories));
                for space in &places {
                    match space.synchronous_gc() {
                        Ok(_) => assert_eq!(space.num_roots(), 0),
                        Err(CollectError::NoCollector { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                drop(places);
            }
            1 => {
                older.exclusive(|_| drop(places));
                drop((roots, parcels, directories));
            }
            2 => {
                drop(places);
                drop((parcels, roots, directories));
            }
            _ => std::thread::scope(|threads| {
                threads.spawn(|| drop(places));
                threads.spawn(|| drop((roots, parcels, directories)));
            }),
        }
        older.synchronous_gc().expect("visits are calm");
        wait_until_gone(&older, &chaos);
        for driver in drivers.into_inner().unwrap_or_else(PoisonError::into_inner) {
            driver.join().expect("a driver does not panic");
        }
        let (made, dropped) = chaos.counts();
        assert_eq!(made, dropped, "each is dropped once");
        tally.things.fetch_add(made, Relaxed);
        // A pool's thread may be about to let go of what it was serving.
        let ever = ever.into_inner().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        while ever.iter().any(|space| space.upgrade().is_some()) || Arc::strong_count(&chaos) > 1 {
            assert!(begun.elapsed() < PATIENCE, "a space is kept, or an object is leaked");
            std::thread::yield_now();
        }
        drop(pool);
    }

    /// Listeners of spaces that are about to go may have a handle for a moment.
    fn until_alone(self: Arc<Self>) -> Arena {
        let begun = Instant::now();
        let mut this = self;
        loop {
            match Arc::try_unwrap(this) {
                Ok(arena) => return arena,
                Err(shared) => this = shared,
            }
            assert!(begun.elapsed() < PATIENCE, "somebody keeps the arena");
            std::thread::yield_now();
        }
    }

    /// Where every handle belongs to: to one space at most, and in a lossless round to one.
    fn census(&self, spaces: &[CSpace; SPACES]) {
        let locks = CSpace::lock_multiple(spaces.iter().map(|space| (space, LockMode::Shared)));
        let mut locks = locks.expect("nobody holds anything");
        let (mut homes, mut count) = (vec![0; ROOTS + PARCELS + DIRECTORIES], 0);
        let roots: Vec<_> = (0..ROOTS).map(|i| self.roots.take(i)).collect();
        let parcels: Vec<_> = (0..PARCELS).map(|i| self.parcels.take(i)).collect();
        let directories: Vec<_> = (0..DIRECTORIES).map(|i| self.directories.take(i)).collect();
        for guard in locks.iter_mut() {
            let guard = guard.shared().expect("locked so");
            guard.scope(|cx| {
                for (i, root) in roots.iter().enumerate() {
                    if let Some(Ok(node)) = root.as_ref().map(|root| root.try_get(cx)) {
                        assert_whole(cx, node);
                        homes[i] += 1;
                    }
                }
                for (i, parcel) in parcels.iter().enumerate() {
                    if parcel.as_ref().is_some_and(|parcel| self.read_parcel(cx, parcel)) {
                        homes[ROOTS + i] += 1;
                    }
                }
                for (i, root) in directories.iter().enumerate() {
                    if let Some(Ok(directory)) = root.as_ref().map(|root| root.try_get(cx)) {
                        check_directory(cx, directory.as_ref());
                        homes[ROOTS + PARCELS + i] += 1;
                    }
                }
            });
        }
        drop(locks);
        let there = roots.iter().map(Option::is_some);
        let there = there.chain(parcels.iter().map(Option::is_some));
        let there = there.chain(directories.iter().map(Option::is_some));
        for (i, is_there) in there.enumerate() {
            let least = usize::from(is_there && self.kind.is_lossless);
            assert!((least..=1).contains(&homes[i]), "handle {i} belongs to {} spaces", homes[i]);
            count += homes[i];
        }
        self.tally.found.fetch_add(count, Relaxed);
        roots
            .into_iter()
            .enumerate()
            .for_each(|(i, root)| drop(root.map(|r| self.roots.put(i, r))));
        for (i, parcel) in parcels.into_iter().enumerate() {
            drop(parcel.map(|parcel| self.parcels.put(i, parcel)));
        }
        for (i, root) in directories.into_iter().enumerate() {
            drop(root.map(|root| self.directories.put(i, root)));
        }
    }

    /// Whether it belongs to the space; then looks at all of it.
    fn read_parcel<'gc, C>(&self, cx: &C, parcel: &Parcel) -> bool
    where
        C: cspace::Access<'gc> + cspace::CellAccess<'gc>,
    {
        match parcel.root.try_get(cx) {
            Ok(node) => {
                assert_whole(cx, node);
                check_machine(cx, parcel.machine.get(cx));
                Tally::add(&self.tally.found);
                true
            }
            Err(WrongSpace) => {
                assert!(parcel.machine.try_get(cx).is_err());
                Tally::add(&self.tally.foreign);
                false
            }
        }
    }
}

/// A driver's thread of the embedder's.
fn drive(mut driver: GcDriver, mut rng: Rng) {
    while driver.wait_for_garbage_collect() {
        match driver.try_collect() {
            Ok(_) => {}
            Err(
                CollectError::VisitPanicked { .. }
                | CollectError::Busy { .. }
                | CollectError::Transferred { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
        if rng.one_in(300) {
            return;
        }
    }
}

fn set_period(space: &CSpace, rng: &mut Rng) {
    match rng.below(6) {
        0 => space.set_gc_period(None),
        1 => space.set_gc_period(Duration::MAX),
        2 => space.set_gc_period(Duration::from_micros(100)),
        3 => space.set_milli_secs_per_gc(1),
        _ => space.set_milli_secs_per_gc(-1),
    }
}

fn check_directory<'gc, C>(cx: &C, directory: &Directory<'gc>)
where
    C: cspace::Access<'gc> + cspace::CellAccess<'gc>,
{
    for slot in &directory.lists {
        if let Some(first) = slot.get(cx) {
            assert_whole(cx, first);
        }
    }
    let names = directory.names.borrow(cx);
    for number in 0..NAMES {
        if let Some(name) = names.find(number % 7, |name| *name.header() == number) {
            assert_name(name, number);
        }
    }
    for name in directory.kept.borrow(cx) {
        assert_name(*name, *name.header());
    }
}

struct Mutator<'a> {
    arena: &'a Arena,
    rng: Rng,
    /// Perhaps replaced since.
    spaces: [CSpace; SPACES],
}

impl Mutator<'_> {
    fn run(mut self) {
        while !self.arena.stop.load(Relaxed) {
            // The drop of an owned value whose space is gone runs on the thread that drops the handle,
            // and so does its panic.
            self.catching(|this| this.act());
        }
        for place in 0..SPACES {
            self.catching(|this| this.refresh(place));
        }
    }

    fn catching(&mut self, act: impl FnOnce(&mut Self)) {
        let acted = catch_unwind(AssertUnwindSafe(|| act(self)));
        acted.unwrap_or_else(|panic| {
            if panic.downcast_ref() != Some(&DROP_PANICS) {
                resume_unwind(panic);
            }
        });
    }

    fn any(&mut self) -> CSpace {
        self.spaces[self.rng.below(SPACES)].clone()
    }

    fn act(&mut self) {
        let arena = self.arena;
        match self.rng.below(60) {
            0..=7 => self.exclusively(LockMode::Exclusive),
            8..=10 => self.exclusively(LockMode::Transaction),
            11..=15 => self.share(),
            16..=18 => self.hold(),
            19 => drop(arena.roots.take(self.rng.below(ROOTS))),
            20 => {
                if let Some(root) = arena.roots.take(self.rng.below(ROOTS)) {
                    drop(arena.roots.put(self.rng.below(ROOTS), root.clone()));
                    drop(arena.roots.put(self.rng.below(ROOTS), root));
                }
            }
            21..=23 => self.make_parcel(),
            24..=28 => self.run_parcel(),
            29 => drop(arena.parcels.take(self.rng.below(PARCELS))),
            30..=35 => {
                let (target, source) = (self.any(), self.any());
                drop(arena.merge(&target, &source, self.rng.one_in(2)));
            }
            36 | 37 => {
                let space = self.any();
                self.collect(&space);
            }
            38 => self.any().request_gc(),
            39 => self.wait(),
            40 => {
                let space = self.any();
                set_period(&space, &mut self.rng);
            }
            41 => self.stop_and_start(),
            42..=44 => {
                let place = self.rng.below(SPACES);
                self.refresh(place);
            }
            45 => self.replace(),
            46 | 47 => self.tour(),
            48 => self.inside_older(),
            49 => {
                if self.rng.one_in(6) {
                    let space = self.any();
                    let report = space.verify().expect("nothing of this thread's is held");
                    // A visit may panic; nothing else may be wrong.
                    assert!(report.bad_edges.is_empty(), "{report}");
                    assert!(report.problems.iter().all(|p| p.contains("panicked")), "{report}");
                }
            }
            50 => {
                let space = self.any();
                arena.take_seat(&space, &mut self.rng);
            }
            51 => self.poison(),
            52 => self.fan_out(),
            53 => {
                let space = self.any();
                let memory = space.memory();
                assert!(memory.committed >= memory.allocated);
                space.num_objects();
                space.num_roots();
                space.stats();
                space.request_yield();
                space.set_stress(self.rng.one_in(8));
            }
            54 => self.lock_all(),
            55 => drop(arena.directories.take(self.rng.below(DIRECTORIES))),
            _ => std::thread::yield_now(),
        }
    }

    fn lock<'s>(&self, space: &'s CSpace, mode: LockMode) -> ExclusiveGuard<'s> {
        loop {
            match space.try_lock_mode_for(mode, PATIENCE) {
                Ok(cspace::ModeGuard::Exclusive(guard)) => return guard,
                Ok(_) => unreachable!("the mode is exclusive"),
                Err(LockError::Poisoned { .. }) => self.arena.unpoison(space, space),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn shared<R>(&self, space: &CSpace, f: impl for<'gc> FnOnce(&Shared<'gc>) -> R) -> R {
        loop {
            match space.try_lock_shared_for(PATIENCE) {
                Ok(mut guard) => return guard.scope(f),
                Err(LockError::Poisoned { .. }) => self.arena.unpoison(space, space),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn exclusively(&mut self, mode: LockMode) {
        let space = self.any();
        let mut guard = self.lock(&space, mode);
        guard.scope(|cx| self.mutate(cx));
    }

    fn share(&mut self) {
        let space = self.any();
        // The space of a fresh seed, so that the token's closure may borrow the rest.
        let mut rng = Rng::new(self.rng.next());
        self.shared(&space, |cx| read(self.arena, cx, &mut rng));
    }

    fn fan_out(&mut self) {
        let (arena, space) = (self.arena, self.any());
        let seeds = [self.rng.next(), self.rng.next()];
        self.shared(&space, |cx| {
            cx.fan_out(
                seeds.map(|seed| move |cx: &Shared<'_>| read(arena, cx, &mut Rng::new(seed))),
            );
        });
    }

    /// Builds and changes graphs with cycles in them.
    fn mutate(&mut self, cx: &mut Exclusive<'_>) {
        let Mutator { arena, rng, .. } = self;
        // What leaves the exchange is dropped within the access, and its drop may act.
        for _ in 0..rng.below(8) {
            let taken = arena.roots.take(rng.below(ROOTS));
            let found = taken.as_ref().and_then(|root| root.try_get(cx).ok());
            if let Some(found) = found {
                assert_whole(cx, found);
            }
            match rng.below(14) {
                0..=3 => {
                    // A ring, and a way out of it into what was there, which is cut at times.
                    let old = if rng.one_in(8) { None } else { found };
                    let last = node(cx, &arena.chaos, None);
                    let mut first = last;
                    for _ in 0..rng.below(6) {
                        first = node(cx, &arena.chaos, Some(first));
                    }
                    last.next.set(cx, Some(first));
                    if let Some(old) = old {
                        first.other.set(cx, NanBox::from_gc(old));
                        last.weak.set(cx, Some(cx.downgrade(old)));
                    }
                    arena.roots.put(rng.below(ROOTS), cx.root(first));
                }
                4 => {
                    for _ in 0..rng.below(40) {
                        let garbage = node(cx, &arena.chaos, found);
                        garbage.next.set(cx, Some(garbage));
                    }
                }
                5 => {
                    let len = if rng.one_in(10) { 3000 } else { rng.below(20) };
                    let row = row(cx, &arena.chaos, len, found);
                    if let Some(found) = found {
                        found.other.set(cx, NanBox::from_gc(row));
                    }
                }
                6 => {
                    if let Some(found) = found {
                        let (alloc, cells) = cx.split();
                        let bag = found.bag.borrow_mut(cells);
                        bag.truncate(4);
                        // Also into the ring that it is in.
                        bag.push(node(alloc, &arena.chaos, Some(found)).into());
                    }
                }
                7 => {
                    if let Some(found) = found {
                        found.other.set(cx, NanBox::NIL);
                        found.next.set(cx, None);
                    }
                }
                8 => {
                    if let Some(found) = found {
                        // Kept by the space itself for a while.
                        if cx.add_gc_root(found).is_err() || rng.one_in(2) {
                            let _ = cx.remove_gc_root(found);
                        }
                    }
                }
                9 => {
                    let target = found.and_then(|found| found.weak.get(cx)?.upgrade(cx));
                    if let Some(target) = target {
                        assert_whole(cx, target);
                        arena.roots.put(rng.below(ROOTS), cx.root(target));
                    }
                }
                10..=11 => {
                    // About the ring that it is in, and one that only a note knows.
                    if let Some(found) = found {
                        take_note(cx, &arena.chaos, found, found.next.get(cx).unwrap_or(found));
                        let other = node(cx, &arena.chaos, None);
                        take_note(cx, &arena.chaos, found, other);
                        found.other.set(cx, NanBox::from_gc(other));
                    }
                }
                _ => change_directory(arena, cx, rng, found),
            }
            if let Some(root) = taken {
                if !rng.one_in(8) {
                    arena.roots.put(rng.below(ROOTS), root);
                }
            }
        }
    }

    /// Holds a guard over scopes and safepoints, unlocks, collections.
    fn hold(&mut self) {
        let space = self.any();
        let mode = [LockMode::Exclusive, LockMode::Transaction][self.rng.below(2)];
        let mut guard = self.lock(&space, mode);
        let held = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..self.rng.below(30) {
                guard.scope(|cx| {
                    self.mutate(cx);
                    while self.rng.one_in(2) && !cx.should_yield() {
                        cx.alloc(Static(self.arena.chaos.life()));
                    }
                });
                match self.rng.below(16) {
                    0 => guard.unlocked(|| self.share()),
                    1 => match guard.collect() {
                        Ok(_)
                        | Err(
                            CollectError::VisitPanicked { .. }
                            | CollectError::Busy { .. }
                            | CollectError::NoCollector { .. },
                        ) => {}
                        Err(error) => panic!("{error}"),
                    },
                    // Also of this very space, into others and back.
                    2 => guard.unlocked(|| {
                        let other = self.any();
                        drop(self.arena.merge(&other, &space, true));
                        if self.rng.one_in(2) {
                            drop(self.arena.merge(&space, &other, true));
                        }
                    }),
                    3 => guard.unlocked(|| self.stop_and_start()),
                    4 => guard.unlocked(|| drop(self.arena.roots.take(self.rng.below(ROOTS)))),
                    5 => {
                        let merged = self.arena.merge(&space, &self.spaces[0], true);
                        assert!(matches!(
                            merged,
                            Err(TransferError::HoldsSpace | TransferError::SameSpace { .. })
                        ));
                    }
                    _ => guard.safepoint(),
                }
            }
        }));
        if let Err(panic) = held {
            // A lock that was given up is not had again if the space was poisoned meanwhile.
            let is_poison = self.arena.may_poison()
                && panic.downcast_ref::<String>().is_some_and(|text| text.contains("taken again"));
            if !is_poison {
                drop(guard);
                resume_unwind(panic);
            }
            return;
        }
        if self.rng.one_in(2) {
            let unlocked = guard.begin_unlock();
            self.share();
            if let Ok(mut guard) = unlocked.try_end_unlock() {
                guard.scope(|cx| self.mutate(cx));
            }
        }
    }

    fn make_parcel(&mut self) {
        let space = self.any();
        let parcel = self.parcel(&space);
        // What was there goes outside of the access: its drop may panic.
        drop(self.arena.parcels.put(self.rng.below(PARCELS), parcel));
    }

    fn parcel(&mut self, space: &CSpace) -> Parcel {
        let chaos = &self.arena.chaos;
        self.lock(space, LockMode::Exclusive).scope(|cx| {
            let first = node(cx, chaos, None);
            first.next.set(cx, Some(node(cx, chaos, Some(first))));
            let machine = cx.own_root(Machine {
                life: Static(chaos.life()),
                things: vec![first],
                stack: RootStack::new(STACK, NanBox::NIL),
                weaks: vec![cx.downgrade(first)],
                names: WeakSet::new(),
            });
            Parcel { machine, root: cx.root(first) }
        })
    }

    /// Works with a machine in the space that it belongs to, wherever that is.
    fn run_parcel(&mut self) {
        let Some(mut parcel) = self.arena.parcels.take(self.rng.below(PARCELS)) else { return };
        for _ in 0..self.rng.below(2 * SPACES) {
            let space = self.any();
            let mut guard = self.lock(&space, LockMode::Exclusive);
            let Parcel { machine, root } = &mut parcel;
            let is_here = guard.scope(|cx| {
                if root.try_get(cx).is_err() {
                    Tally::add(&self.arena.tally.foreign);
                    return false;
                }
                Tally::add(&self.arena.tally.found);
                let Mutator { arena, rng, .. } = self;
                work(arena, cx, machine.get_mut(cx), rng);
                true
            });
            drop(guard);
            if !is_here && self.rng.one_in(4) {
                self.shared(&space, |cx| {
                    // It may have come here since.
                    assert_eq!(parcel.machine.try_get(cx).is_ok(), parcel.root.try_get(cx).is_ok());
                });
            }
        }
        drop(self.arena.parcels.put(self.rng.below(PARCELS), parcel));
    }

    fn collect(&self, space: &CSpace) {
        match space.synchronous_gc() {
            Ok(_) | Err(CollectError::VisitPanicked { .. } | CollectError::NoCollector { .. }) => {}
            // A reader may hold it and wait.
            Err(CollectError::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn wait(&mut self) {
        let space = self.any();
        let n = space.total_num_completed_gcs();
        match space.wait_for_gc_after(n, Duration::from_micros(self.rng.below(3000) as u64)) {
            Ok(completed) => assert!(completed > n),
            Err(WaitError::Timeout { completed, .. }) => assert!(completed >= n),
            Err(error) => panic!("{error}"),
        }
    }

    fn stop_and_start(&mut self) {
        let space = self.any();
        match space.stop_gc() {
            Ok(()) => Tally::add(&self.arena.tally.stops),
            // In a drop of what was owned by a space that is gone this may be anywhere.
            Err(StopError::InSweep { .. } | StopError::HoldsSpace { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if self.rng.one_in(2) {
            self.exclusively(LockMode::Exclusive);
        }
        if !self.rng.one_in(6) {
            match space.start_gc() {
                Ok(()) | Err(StartError::NoCollector { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes the space that is at a place now. Its last handle may go here.
    fn refresh(&mut self, place: usize) {
        let Some(space) = self.arena.space_at(place) else { return };
        let old = std::mem::replace(&mut self.spaces[place], space);
        if CSpace::ptr_eq(&old, &self.spaces[place]) {
            return;
        }
        if self.arena.kind.is_lossless {
            // Everybody does who knew it, after which he puts nothing into it any more.
            self.arena.drain(&old, &self.spaces[place]);
            // That one may have been replaced, and drained by its replacer, before this drain was through.
            return self.refresh(place);
        }
        match self.rng.below(4) {
            0 => drop(old.destroy()),
            1 => drop(self.arena.older.exclusive_for(Duration::from_millis(5), |_| drop(old))),
            2 => {
                let space = self.spaces[place].clone();
                drop(self.arena.merge(&space, &old, true));
            }
            _ => drop(old),
        }
    }

    fn replace(&mut self) {
        if !self.rng.one_in(3) {
            return;
        }
        let place = self.rng.below(SPACES);
        let new = self.arena.build(&mut self.rng, None);
        let old = lock(&self.arena.places[place]).replace(new.clone());
        let old = old.expect("the round is not over");
        if self.arena.kind.is_lossless {
            self.arena.drain(&old, &new);
            if self.arena.kind.drop_acts > 0 {
                lock(&self.arena.retired).push(old.clone());
            }
            // The new one may have been replaced, and drained, before it was filled: then this thread knows it.
            let mine = std::mem::replace(&mut self.spaces[place], new.clone());
            self.arena.drain(&mine, &new);
        }
        drop(old);
        self.refresh(place);
    }

    /// Spaces of this thread alone, so that where their handles belong to is known.
    fn tour(&mut self) {
        let (a, b) = (self.arena.build(&mut self.rng, None), self.arena.build(&mut self.rng, None));
        let mut parcel = self.parcel(&a);
        let directory = self.lock(&a, LockMode::Exclusive).scope(|cx| {
            for _ in 0..self.rng.below(100) {
                node(cx, &self.arena.chaos, None);
            }
            cx.root(cx.alloc(Directory {
                lists: std::array::from_fn(|_| Slot::new(None)),
                names: GcCell::new(WeakSet::new()),
                kept: GcCell::new(Vec::new()),
            }))
        });
        let (mut here, mut there) = (&a, &b);
        for _ in 0..self.rng.below(6) {
            if self.rng.one_in(3) {
                // Merged while this cycle's batch may be out.
                here.request_gc();
            }
            if self.rng.one_in(4) {
                self.collect(here);
            }
            self.arena.drain(here, there);
            (here, there) = (there, here);
            let seed = self.rng.next();
            for (space, is_here) in [(here, true), (there, false)] {
                self.shared(space, |cx| {
                    assert_eq!(self.arena.read_parcel(cx, &parcel), is_here);
                    assert_eq!(directory.try_get(cx).is_ok(), is_here);
                });
            }
            let mut guard = self.lock(here, LockMode::Exclusive);
            guard.scope_mut(&mut parcel.machine, |cx, machine| {
                let mut rng = Rng::new(seed);
                let found = directory.get(cx);
                let first = machine.things.first().copied();
                intern(cx, &mut rng, found.as_ref());
                found.lists[rng.below(8)].set(cx, first);
                work(self.arena, cx, machine, &mut rng);
                check_directory(cx, found.as_ref());
            });
            guard.safepoint();
            drop(guard);
            // What is left behind is empty, and usable.
            let life = self.arena.chaos.life();
            self.lock(there, LockMode::Exclusive).scope(|cx| _ = cx.alloc(Static(life)));
        }
        if self.rng.one_in(4) {
            here.stop_gc().expect("this thread holds nothing");
            assert!(!here.is_gc_running());
            self.arena.drain(there, here);
            let report = here.verify().expect("nobody is inside");
            assert!(report.bad_edges.is_empty(), "{report}");
        }
        let target = self.any();
        self.arena.drain(here, &target);
        let stays = self.shared(here, |cx| parcel.root.try_get(cx).is_ok());
        assert!(!stays, "a handle is left behind");
        drop((a, b));
        drop(self.arena.directories.put(self.rng.below(DIRECTORIES), directory));
        drop(self.arena.parcels.put(self.rng.below(PARCELS), parcel));
    }

    /// Within an access to another space, where sweeps have to be left to others.
    fn inside_older(&mut self) {
        let arena = self.arena;
        let held = arena.older.exclusive_for(Duration::from_millis(20), |cx| {
            cx.alloc(Static(arena.chaos.life()));
            let space = self.any();
            self.collect(&space);
            if self.rng.one_in(2) {
                self.exclusively(LockMode::Exclusive);
            }
            self.share();
            assert!(matches!(space.stop_gc(), Ok(()) | Err(StopError::HoldsSpace { .. })));
        });
        match held {
            Ok(()) | Err(LockError::Timeout { .. }) => {}
            Err(LockError::Poisoned { .. }) => arena.unpoison(&arena.older, &arena.older),
            Err(error) => panic!("{error}"),
        }
    }

    fn poison(&mut self) {
        if !self.arena.kind.may_poison {
            return;
        }
        let space = self.any();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            self.lock(&space, LockMode::Exclusive).scope(|cx| {
                self.mutate(cx);
                resume_unwind(Box::new("an access panics"));
            })
        }));
        assert!(panicked.is_err());
    }

    /// All at once, each handle in one of them at most.
    fn lock_all(&mut self) {
        let mut distinct: Vec<&CSpace> = Vec::new();
        for space in &self.spaces {
            if !distinct.iter().any(|known| CSpace::ptr_eq(known, space)) {
                distinct.push(space);
            }
        }
        let taken = self.arena.roots.take(self.rng.below(ROOTS));
        let Some(root) = taken else { return };
        match CSpace::lock_multiple(distinct.iter().map(|space| (*space, LockMode::Shared))) {
            Ok(mut locks) => {
                let homes = locks.iter_mut().filter_map(|guard| guard.shared());
                let homes = homes.map(|guard| {
                    guard.scope(|cx| root.try_get(cx).map(|node| assert_whole(cx, node)).is_ok())
                });
                assert!(homes.filter(|is_here| *is_here).count() <= 1);
            }
            Err(LockError::Poisoned { .. }) => {
                distinct.iter().for_each(|space| self.arena.unpoison(space, space));
            }
            Err(error) => panic!("{error}"),
        }
        drop(self.arena.roots.put(self.rng.below(ROOTS), root));
    }
}

fn read(arena: &Arena, cx: &Shared<'_>, rng: &mut Rng) {
    for _ in 0..rng.below(6) {
        let Some(root) = arena.roots.take(rng.below(ROOTS)) else { continue };
        match root.try_get(cx) {
            Ok(found) => {
                Tally::add(&arena.tally.found);
                assert_whole(cx, found);
                // What only a note knows, or a weak reference, becomes a root, perhaps while a collection
                // marks.
                if let Some(about) = assert_notes(cx, found) {
                    arena.roots.put(rng.below(ROOTS), cx.root(about));
                }
                if let Some(target) = found.weak.get(cx).and_then(|weak| weak.upgrade(cx)) {
                    arena.roots.put(rng.below(ROOTS), cx.root(target));
                }
            }
            Err(WrongSpace) => Tally::add(&arena.tally.foreign),
        }
        arena.roots.put(rng.below(ROOTS), root);
    }
    if rng.one_in(2) {
        if let Some(parcel) = arena.parcels.take(rng.below(PARCELS)) {
            arena.read_parcel(cx, &parcel);
            arena.parcels.put(rng.below(PARCELS), parcel);
        }
    }
    if let Some(root) = arena.directories.take(rng.below(DIRECTORIES)) {
        if let Ok(directory) = root.try_get(cx) {
            check_directory(cx, directory.as_ref());
        }
        arena.directories.put(rng.below(DIRECTORIES), root);
    }
    if rng.one_in(8) {
        std::thread::sleep(Duration::from_micros(rng.below(500) as u64));
    }
}

fn change_directory<'gc>(
    arena: &Arena,
    cx: &mut Exclusive<'gc>,
    rng: &mut Rng,
    found: Option<cspace::Gc<'gc, Node<'gc>>>,
) {
    let place = rng.below(DIRECTORIES);
    let Some(root) = arena.directories.take(place) else {
        let directory = cx.alloc(Directory {
            lists: std::array::from_fn(|_| Slot::new(found)),
            names: GcCell::new(WeakSet::new()),
            kept: GcCell::new(Vec::new()),
        });
        arena.directories.put(place, cx.root(directory));
        return;
    };
    if let Ok(directory) = root.try_get(cx) {
        directory.lists[rng.below(8)].set(cx, found);
        intern(cx, rng, directory.as_ref());
    }
    arena.directories.put(place, root);
}

fn intern<'gc>(cx: &mut Exclusive<'gc>, rng: &mut Rng, directory: &'gc Directory<'gc>) {
    for _ in 0..rng.below(6) {
        let number = rng.next() % NAMES;
        let (alloc, cells) = cx.split();
        let names = directory.names.borrow_mut(cells);
        let found = names.find(number % 7, |name| *name.header() == number);
        let interned = found.unwrap_or_else(|| {
            let new = name(alloc, number);
            names.insert(alloc, number % 7, new);
            new
        });
        assert_name(interned, number);
        let kept = directory.kept.borrow_mut(cx);
        kept.truncate(12);
        if rng.one_in(2) {
            kept.insert(0, interned);
        }
    }
}

fn work<'gc>(arena: &Arena, cx: &mut Exclusive<'gc>, machine: &mut Machine<'gc>, rng: &mut Rng) {
    check_machine(cx, machine);
    for _ in 0..rng.below(8) {
        let last = if rng.one_in(8) { None } else { machine.things.last().copied() };
        let new = node(cx, &arena.chaos, last);
        match rng.below(8) {
            0 => machine.things.clear(),
            1 => machine.things.push(new),
            2 if machine.stack.len() < STACK => machine.stack.push(NanBox::from_gc(new)),
            3 => drop(machine.stack.pop()),
            4 => machine.stack.as_mut_full()[rng.below(STACK)] = NanBox::from_gc(new),
            5 => machine.stack.set_len(rng.below(STACK)),
            6 => {
                machine.weaks.truncate(6);
                machine.weaks.push(cx.downgrade(new));
            }
            _ => {
                let number = rng.next() % NAMES;
                if machine.names.find(number % 7, |n| *n.header() == number).is_none() {
                    machine.names.insert(cx, number % 7, name(cx, number));
                }
            }
        }
        machine.things.truncate(8);
    }
}
