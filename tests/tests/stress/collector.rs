//! Collectors that never rest: four spaces collected back to back by workers, a pool and a driver, their freed
//! memory overwritten, while eight threads do everything at once and merge the spaces into each other.
//!
//! What a handle belongs to changes under everybody's eyes, so threads ask (`try_get`) in the space that they are
//! in. At the end everything that was made was dropped once, and what is left verifies.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{
    Alloc, CSpace, CollectError, Exclusive, Gc, GcMode, GcPool, GcRoot, LockMode, NanBox,
    OwnedRoot, RootStack, Rootable, Slot, Static, WeakSet,
};

use crate::exchange::Exchange;
use crate::one_space::wait_until_gone;
use crate::rng::Rng;
use crate::things::*;
use crate::{seconds, seed, watched};

const THREADS: u64 = 8;
const SPACES: usize = 4;
const ROOTS: usize = 24;
const MACHINES: usize = 12;
/// Names are interned by numbers below that.
const NAMES: usize = 40;

struct Arena {
    spaces: [CSpace; SPACES],
    pool: GcPool,
    chaos: Arc<Chaos>,
    roots: Exchange<NodeRoot>,
    machines: Exchange<OwnedMachine>,
    stop: AtomicBool,
    /// Things that happened, by kind, so that a round in which nothing did is noticed.
    merges: AtomicUsize,
    found: AtomicUsize,
}

#[test]
fn collectors_that_never_rest_lose_nothing() {
    let mut seed = seed("collectors_that_never_rest_lose_nothing");
    let duration = Duration::from_secs(seconds(10));
    watched(|| {
        let begun = Instant::now();
        let (mut merges, mut found) = (0, 0);
        while begun.elapsed() < duration {
            seed += 1;
            let (more_merges, more_found) = round(seed);
            merges += more_merges;
            found += more_found;
        }
        assert!(merges > 0 && found > 0, "{merges} merges, {found} handles found in their space");
    });
}

fn round(seed: u64) -> (usize, usize) {
    let mut rng = Rng::new(seed);
    let pool = GcPool::new(1 + rng.below(2)).expect("threads");
    // Drops play with a space that is not merged.
    let playground = CSpace::builder().gc_period(Duration::ZERO).build().expect("a thread");
    let spaces = std::array::from_fn(|i| {
        let builder = CSpace::builder()
            .name(format!("space {i}"))
            .poison_freed(true)
            .gc_budget_floor(1 << (12 + rng.below(8)))
            .stress(rng.one_in(8))
            .gc_period(if rng.one_in(5) { Duration::from_millis(1) } else { Duration::ZERO });
        match rng.below(4) {
            0 => builder.gc_pool(&pool),
            1 => builder.gc(GcMode::Manual),
            _ => builder,
        }
        .build()
        .expect("the settings are valid")
    });
    let arena = Arena {
        spaces,
        pool,
        chaos: Chaos::new(seed, playground.downgrade(), 0, 400),
        roots: Exchange::new(ROOTS),
        machines: Exchange::new(MACHINES),
        stop: AtomicBool::new(false),
        merges: AtomicUsize::new(0),
        found: AtomicUsize::new(0),
    };
    std::thread::scope(|threads| {
        for space in &arena.spaces {
            // Those that nobody drives have a thread of the embedder's.
            if let Ok(mut driver) = space.gc_driver() {
                threads.spawn(move || {
                    while driver.wait_for_garbage_collect() {
                        driver.collect();
                    }
                });
            }
        }
        let mutators: Vec<_> = (0..THREADS)
            .map(|thread| {
                let arena = &arena;
                threads.spawn(move || {
                    let mut rng = Rng::new(seed << 8 | thread);
                    while !arena.stop.load(Relaxed) {
                        tolerate(|| arena.act(&mut rng));
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(700));
        arena.stop.store(true, Relaxed);
        for mutator in mutators {
            mutator.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        for space in &arena.spaces {
            space.stop_gc().expect("this thread holds nothing");
        }
    });
    arena.chaos.calm();
    for space in &arena.spaces {
        let report = space.verify().expect("nobody is inside");
        assert!(report.is_clean(), "seed {seed}, {}: {report}", space.name());
        space.synchronous_gc().expect("visits are calm");
        let report = space.verify().expect("nobody is inside");
        assert!(report.is_clean(), "seed {seed}, {}: {report}", space.name());
    }
    let Arena { spaces, chaos, roots, machines, merges, found, .. } = arena;
    match seed % 2 {
        0 => drop((spaces, roots, machines)),
        _ => drop((roots, machines, spaces)),
    }
    wait_until_gone(&playground, &chaos);
    (merges.into_inner(), found.into_inner())
}

impl Arena {
    fn space(&self, rng: &mut Rng) -> &CSpace {
        &self.spaces[rng.below(SPACES)]
    }

    fn act(&self, rng: &mut Rng) {
        let space = self.space(rng);
        match rng.below(14) {
            0 | 1 => {
                let machine = space.exclusive(|cx| self.build(cx, rng));
                self.pass_on(machine, rng);
            }
            2 => space.transaction(|cx| self.change(cx, rng)),
            3 => self.read(space, rng),
            4 => self.run(space, rng),
            5 => drop(self.roots.take(rng.below(ROOTS))),
            6 => {
                if let Some(root) = self.roots.take(rng.below(ROOTS)) {
                    self.roots.put(rng.below(ROOTS), root.clone());
                    self.roots.put(rng.below(ROOTS), root);
                }
            }
            7 => self.machine(space, rng),
            8 => drop(self.machines.take(rng.below(MACHINES))),
            9 | 10 => self.merge(space, rng),
            11 => self.collect(space, rng),
            12 => self.rule(space, rng),
            _ => self.several(rng),
        }
    }

    /// Makes a list with a ring at its end, and a handle of it.
    #[must_use]
    fn build<'gc>(&self, cx: &mut Exclusive<'gc>, rng: &mut Rng) -> Option<OwnedMachine> {
        let last = node(cx, &self.chaos, None);
        let mut first = last;
        for _ in 0..rng.below(40) {
            first = node(cx, &self.chaos, Some(first));
        }
        last.next.set(cx, rng.one_in(2).then_some(first));
        last.other.set(cx, NanBox::from_gc(row(cx, &self.chaos, 1 + rng.below(20), Some(first))));
        first.weak.set(cx, Some(cx.downgrade(last)));
        first.bag.borrow_mut(cx).push(last.into());
        self.roots.put(rng.below(ROOTS), cx.root(first));
        if rng.one_in(4) {
            let machine = Machine {
                life: Static(self.chaos.life()),
                things: vec![first],
                stack: RootStack::new(STACK, NanBox::NIL),
                weaks: vec![cx.downgrade(last)],
                names: WeakSet::new(),
            };
            return Some(cx.own_root(machine));
        }
        None
    }

    /// Passes a machine on, outside of accesses: the drop of what was there is user code if its space is gone.
    fn pass_on(&self, machine: Option<OwnedMachine>, rng: &mut Rng) {
        if let Some(machine) = machine {
            let before = self.machines.put(rng.below(MACHINES), machine);
            tolerate(|| drop(before));
        }
    }

    /// Changes what a handle reaches, if it belongs to this space.
    fn change<'gc>(&self, cx: &mut Exclusive<'gc>, rng: &mut Rng) {
        let place = rng.below(ROOTS);
        let Some(root) = self.roots.take(place) else { return };
        if let Ok(first) = root.try_get(cx) {
            self.found.fetch_add(1, Relaxed);
            assert_whole(cx, first);
            let new = node(cx, &self.chaos, first.next.get(cx));
            first.next.set(cx, Some(new));
            let bag = first.bag.borrow_mut(cx);
            bag.push(new.into());
            if bag.len() > 4 {
                bag.clear();
            }
            let target = first.weak.get(cx).and_then(|weak| weak.upgrade(cx)).unwrap_or(new);
            new.weak.set(cx, Some(cx.downgrade(target)));
            if rng.one_in(3) {
                first.next.set(cx, None);
            }
        }
        self.roots.put(place, root);
    }

    fn read(&self, space: &CSpace, rng: &mut Rng) {
        let place = rng.below(ROOTS);
        let Some(root) = self.roots.take(place) else { return };
        let more = space.shared(|cx| {
            let first = root.try_get(cx).ok()?;
            self.found.fetch_add(1, Relaxed);
            assert_whole(cx, first);
            let target = first.weak.get(cx)?.upgrade(cx)?;
            // A root made by a reader, perhaps during a mark.
            Some(cx.root(target))
        });
        self.roots.put(place, root);
        if let Some(more) = more {
            self.roots.put(rng.below(ROOTS), more);
        }
    }

    /// Holds the lock for a while, like an interpreter.
    fn run(&self, space: &CSpace, rng: &mut Rng) {
        let mut lock = space.lock();
        for _ in 0..rng.below(20) {
            let machine = lock.scope(|cx| {
                self.change(cx, rng);
                self.build(cx, rng)
            });
            lock.unlocked(|| self.pass_on(machine, rng));
            match rng.below(6) {
                0 => lock.unlocked(|| self.merge(space, rng)),
                1 => {
                    // The lock is given up for it, and what is swept is dropped here.
                    let collected = lock.collect();
                    assert!(allowed(&collected.map(|_| ())));
                }
                _ => lock.safepoint(),
            }
        }
    }

    fn machine(&self, space: &CSpace, rng: &mut Rng) {
        let place = rng.below(MACHINES);
        let Some(mut machine) = self.machines.take(place) else { return };
        space.exclusive(|cx| {
            let Ok(machine) = machine.try_get_mut(cx) else { return };
            self.found.fetch_add(1, Relaxed);
            machine.life.assert_alive();
            machine.things.iter().for_each(|thing| assert_whole(cx, *thing));
            let mut weaks = std::mem::take(&mut machine.weaks);
            weaks.retain(|weak| weak.upgrade(cx).is_some_and(|n| n.life.number_is_whole()));
            let new = node(cx, &self.chaos, machine.things.pop());
            weaks.push(cx.downgrade(new));
            machine.weaks = weaks;
            machine.things.push(new);
            if machine.stack.len() == STACK {
                machine.stack.truncate(2);
            }
            machine.stack.push(NanBox::from_gc(new));
            self.intern(cx, &mut machine.names, rng);
        });
        self.machines.put(place, machine);
    }

    fn intern<'gc>(&self, cx: &Alloc<'gc>, names: &mut WeakSet<'gc, Name>, rng: &mut Rng) {
        let number = rng.below(NAMES) as u64;
        match names.find(number, |name| *name.header() == number) {
            Some(found) => assert_name(found, number),
            None => names.insert(cx, number, name(cx, number)),
        }
    }

    /// Merges a space into another: two of the four, or one that was just made.
    fn merge(&self, target: &CSpace, rng: &mut Rng) {
        let made;
        let source = if rng.one_in(3) {
            let builder = CSpace::builder().gc_period(Duration::ZERO).poison_freed(true);
            let builder = if rng.one_in(2) { builder.gc_pool(&self.pool) } else { builder };
            made = builder.build().expect("a thread");
            for _ in 0..3 {
                let machine = made.exclusive(|cx| self.build(cx, rng));
                self.pass_on(machine, rng);
            }
            &made
        } else {
            self.space(rng)
        };
        let merged = if rng.one_in(2) {
            target.transfer_from(source)
        } else {
            target.try_transfer_from(source)
        };
        match merged {
            Ok(_) => drop(self.merges.fetch_add(1, Relaxed)),
            Err(cspace::TransferError::SameSpace { .. }) => {
                assert!(CSpace::ptr_eq(target, source));
            }
            Err(cspace::TransferError::Lock(cspace::LockError::WouldBlock { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn collect(&self, space: &CSpace, rng: &mut Rng) {
        match rng.below(4) {
            0 => space.request_gc(),
            1 => {
                let n = space.total_num_completed_gcs();
                let _ = space.wait_for_gc_after(n, Duration::from_millis(2));
            }
            2 => {
                // Within another space: the sweep is somebody else's.
                let other = self.space(rng);
                if !CSpace::ptr_eq(space, other) {
                    let collected = other.try_shared(|_| space.synchronous_gc());
                    assert!(collected.map_or(true, |collected| allowed(&collected.map(|_| ()))));
                }
            }
            _ => assert!(allowed(&space.synchronous_gc().map(|_| ()))),
        }
    }

    /// Changes how the space is collected.
    fn rule(&self, space: &CSpace, rng: &mut Rng) {
        match rng.below(8) {
            0 => space.stop_gc().expect("this thread holds nothing"),
            1 => space.set_gc_period(Duration::from_micros(rng.below(2000) as u64)),
            2 => space.set_gc_period(None),
            3 => space.set_stress(rng.one_in(2)),
            4 => {
                // A driver that goes away again.
                if let Ok(mut driver) = space.gc_driver() {
                    driver.collect();
                }
                space.start_gc().expect("a thread");
            }
            _ => {
                space.set_gc_period(Duration::ZERO);
                space.start_gc().expect("a thread");
            }
        }
    }

    fn several(&self, rng: &mut Rng) {
        let a = rng.below(SPACES);
        let b = (a + 1 + rng.below(SPACES - 1)) % SPACES;
        let wanted = [(&self.spaces[a], LockMode::Exclusive), (&self.spaces[b], LockMode::Shared)];
        let mut locks = CSpace::lock_multiple(wanted).expect("no space is poisoned");
        let exclusive = locks.get_mut(0).and_then(|guard| guard.exclusive()).expect("as asked for");
        exclusive.scope(|cx| self.change(cx, rng));
        let locks = locks.safepoint().expect("no space is poisoned");
        drop(locks);
    }
}

/// Runs what may drop an owned value whose space is gone: its drop, and its panic, are on this thread then.
fn tolerate(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        if panic.downcast_ref() != Some(&DROP_PANICS) {
            resume_unwind(panic);
        }
    }
}

/// A collection may be refused for these reasons, and for no others.
fn allowed(collected: &Result<(), CollectError>) -> bool {
    matches!(collected, Ok(()) | Err(CollectError::Busy { .. }))
}

const _: fn() = || {
    // What threads pass to each other here can be.
    fn is_send<T: Send>() {}
    is_send::<GcRoot<Rootable![Node<'_>]>>();
    is_send::<OwnedRoot<Rootable![Machine<'_>]>>();
    let _ = Slot::<Option<Gc<'_, u64>>>::new;
};
