//! Many threads, one space, everything at once.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{
    CSpace, CollectError, Exclusive, ExclusiveGuard, Gc, GcCell, GcRoot, LockError, LockMode,
    NanBox, RootStack, Rootable, Shared, Slot, Static, WeakSet,
};

use crate::exchange::Exchange;
use crate::rng::Rng;
use crate::things::*;
use crate::{duration, seed, watched};

const THREADS: u64 = 6;
const NAMES: u64 = 64;

struct Arena {
    /// Older than the space: held around it.
    older: CSpace,
    space: CSpace,
    chaos: Arc<Chaos>,
    directory: GcRoot<Rootable![Directory<'_>]>,
    roots: Exchange<NodeRoot>,
    machines: Exchange<OwnedMachine>,
    stop: AtomicBool,
}

#[test]
fn threads_that_do_everything_at_once_lose_nothing() {
    let mut seed = seed("threads_that_do_everything_at_once_lose_nothing");
    watched(|| {
        let begun = Instant::now();
        while begun.elapsed() < duration() {
            seed += 1;
            round(seed);
        }
    });
}

fn round(seed: u64) {
    let mut rng = Rng::new(seed);
    let older = CSpace::new();
    let space = CSpace::builder()
        .gc_budget_floor(1 << (12 + rng.below(8)))
        .stress(rng.one_in(4))
        .poison_freed(!rng.one_in(4))
        .max_heap_bytes(if rng.one_in(4) { 4 << 20 } else { 256 << 20 })
        .on_event(|_| {})
        .build()
        .expect("the settings are valid");
    let (visit_panics, drop_acts) = match rng.below(3) {
        0 => (0, 0),
        1 => (0, 200),
        _ => (5000, 200),
    };
    let chaos = Chaos::new(seed, space.downgrade(), visit_panics, drop_acts);
    let directory = space.exclusive(|cx| {
        let directory = Directory {
            lists: std::array::from_fn(|_| Slot::new(None)),
            names: GcCell::new(WeakSet::new()),
            kept: GcCell::new(Vec::new()),
        };
        cx.root(cx.alloc(directory))
    });
    let arena = Arena {
        older,
        space,
        chaos,
        directory,
        roots: Exchange::new(24),
        machines: Exchange::new(6),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let arena = &arena;
            threads.spawn(move || {
                let mut rng = Rng::new(seed << 8 | thread);
                while !arena.stop.load(Relaxed) {
                    arena.act(&mut rng);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(250));
        arena.stop.store(true, Relaxed);
    });
    arena.end(&mut rng);
}

impl Arena {
    /// Exclusive access, whether or not another thread's panic has poisoned the space.
    fn exclusive<R>(&self, f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R) -> R {
        self.lock().scope(f)
    }

    fn lock(&self) -> ExclusiveGuard<'_> {
        loop {
            match self.space.try_lock_for(Duration::from_secs(100)) {
                Ok(guard) => return guard,
                Err(LockError::Poisoned { .. }) => self.space.clear_poison(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn shared<R>(&self, f: impl for<'gc> FnOnce(&Shared<'gc>) -> R) -> R {
        loop {
            match self.space.try_lock_shared_for(Duration::from_secs(100)) {
                Ok(mut guard) => return guard.scope(f),
                Err(LockError::Poisoned { .. }) => self.space.clear_poison(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn act(&self, rng: &mut Rng) {
        match rng.below(40) {
            0..=6 => self.exclusive(|cx| self.mutate(cx, rng)),
            7 => {
                // Its end callbacks and beginnings are none here; the mode is another.
                match self.space.try_lock_mode_for(LockMode::Transaction, Duration::from_secs(100))
                {
                    Ok(mut guard) => {
                        let guard = guard.exclusive().expect("a transaction is exclusive");
                        guard.scope(|cx| self.mutate(cx, rng));
                    }
                    Err(LockError::Poisoned { .. }) => self.space.clear_poison(),
                    Err(error) => panic!("{error}"),
                }
            }
            8..=12 => self.shared(|cx| self.read(cx, rng)),
            13..=14 => drop(self.roots.take(rng.below(24))),
            15 => {
                if let Some(root) = self.roots.take(rng.below(24)) {
                    drop(self.roots.put(rng.below(24), root.clone()));
                    drop(self.roots.put(rng.below(24), root));
                }
            }
            16..=17 => self.collect(),
            18 => {
                if rng.one_in(8) {
                    let report = self.space.verify().expect("nothing of this thread's is held");
                    // A visit may panic; nothing else may be wrong.
                    assert!(report.bad_edges.is_empty(), "{report}");
                    assert!(report.problems.iter().all(|p| p.contains("panicked")), "{report}");
                }
            }
            19 => {
                let machine = self.exclusive(|cx| {
                    cx.own_root(Machine {
                        life: Static(self.chaos.life()),
                        things: Vec::new(),
                        stack: RootStack::new(STACK, NanBox::NIL),
                        weaks: Vec::new(),
                        names: WeakSet::new(),
                    })
                });
                self.machines.put(rng.below(6), machine);
            }
            20..=23 => self.run_machine(rng),
            24 => drop(self.machines.take(rng.below(6))),
            25 => {
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    self.exclusive(|cx| {
                        self.mutate(cx, rng);
                        resume_unwind(Box::new("an access panics"));
                    });
                }));
                assert!(panicked.is_err());
                self.space.clear_poison();
            }
            26..=28 => self.hold(rng),
            29 => self.several(rng),
            30 => self.older.exclusive(|_| {
                self.collect();
                if rng.one_in(2) {
                    self.exclusive(|cx| self.mutate(cx, rng));
                }
                self.shared(|cx| self.read(cx, rng));
            }),
            31 => self.shared(|cx| {
                cx.fan_out((0..2).map(|i| {
                    let mut rng = Rng::new(rng.next() + i);
                    move |cx: &Shared<'_>| self.read(cx, &mut rng)
                }));
            }),
            32 => self.exclusive(|cx| {
                let mut rng = Rng::new(rng.next());
                let task = |cx: &Shared<'_>| self.read(cx, &mut rng);
                cx.as_shared().fan_out([task]);
            }),
            33 => self.space.request_gc(),
            34 => self.space.request_yield(),
            35 => {
                let _ = self.space.try_exclusive(|cx| self.mutate(cx, rng));
                let _ = self.space.try_shared(|cx| self.read(cx, rng));
            }
            36 => {
                let memory = self.space.memory();
                assert!(memory.committed >= memory.allocated);
                self.space.num_objects();
                self.space.stats();
                self.space.num_roots();
            }
            37 => self.space.set_stress(rng.one_in(4)),
            _ => std::thread::yield_now(),
        }
    }

    fn collect(&self) {
        match self.space.synchronous_gc() {
            Ok(_) | Err(CollectError::VisitPanicked { .. } | CollectError::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Changes lists, makes garbage, roots and names.
    fn mutate(&self, cx: &mut Exclusive<'_>, rng: &mut Rng) {
        let directory = self.directory.get(cx);
        for _ in 0..rng.below(12) {
            let list = &directory.as_ref().lists[rng.below(8)];
            let first = list.get(cx);
            if let Some(first) = first {
                assert_whole(cx, first);
            }
            match rng.below(16) {
                0..=3 => {
                    // Lists stay short by being cut.
                    let next = if rng.one_in(12) { None } else { first };
                    let new = node(cx, &self.chaos, next);
                    if rng.one_in(3) {
                        new.weak.set(cx, first.map(|target| cx.downgrade(target)));
                    }
                    list.set(cx, Some(new));
                }
                4 => list.set(cx, first.and_then(|first| first.next.get(cx))),
                5 => {
                    for _ in 0..rng.below(40) {
                        node(cx, &self.chaos, first);
                    }
                }
                6 => {
                    let len = if rng.one_in(10) { 3000 } else { rng.below(20) };
                    let row = row(cx, &self.chaos, len, first);
                    if let Some(first) = first {
                        first.other.set(cx, NanBox::from_gc(row));
                    }
                }
                7 => {
                    if let Some(first) = first {
                        let (alloc, cells) = cx.split();
                        let bag = first.bag.borrow_mut(cells);
                        bag.truncate(4);
                        bag.push(node(alloc, &self.chaos, None).into());
                    }
                }
                8..=9 => {
                    if let Some(first) = first {
                        self.roots.put(rng.below(24), cx.root(first));
                    }
                }
                10 => drop(self.roots.take(rng.below(24))),
                11..=12 => self.intern(cx, rng, directory),
                13..=14 => {
                    if let (Some(at), Some(about)) =
                        (first, directory.as_ref().lists[rng.below(8)].get(cx))
                    {
                        take_note(cx, &self.chaos, at, about);
                    }
                }
                _ => {
                    if let Some(root) = self.roots.take(rng.below(24)) {
                        assert_whole(cx, root.get(cx));
                        list.set(cx, Some(root.get(cx)));
                        self.roots.put(rng.below(24), root);
                    }
                }
            }
        }
    }

    fn intern<'gc>(
        &self,
        cx: &mut Exclusive<'gc>,
        rng: &mut Rng,
        directory: Gc<'gc, Directory<'gc>>,
    ) {
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
        kept.truncate(20);
        if rng.one_in(2) {
            kept.insert(0, interned);
        }
    }

    fn read(&self, cx: &Shared<'_>, rng: &mut Rng) {
        let directory = self.directory.get(cx);
        for slot in &directory.as_ref().lists {
            let Some(first) = slot.get(cx) else { continue };
            assert_whole(cx, first);
            if rng.one_in(4) {
                // A weak target that nobody else may have any more becomes a root, perhaps while a
                // collection marks.
                if let Some(target) = first.weak.get(cx).and_then(|weak| weak.upgrade(cx)) {
                    self.roots.put(rng.below(24), cx.root(target));
                }
            }
            if let (Some(about), true) = (assert_notes(cx, first), rng.one_in(8)) {
                self.roots.put(rng.below(24), cx.root(about));
            }
        }
        for number in 0..NAMES {
            let names = directory.names.borrow(cx);
            if let Some(name) = names.find(number % 7, |name| *name.header() == number) {
                assert_name(name, number);
            }
        }
        for name in directory.kept.borrow(cx) {
            assert_name(*name, *name.header());
        }
        if let Some(root) = self.roots.take(rng.below(24)) {
            assert_whole(cx, root.get(cx));
            if rng.one_in(2) {
                self.roots.put(rng.below(24), root);
            }
        }
        if rng.one_in(4) {
            if let Some(machine) = self.machines.take(rng.below(6)) {
                check_machine(cx, machine.get(cx));
                if rng.one_in(2) {
                    self.machines.put(rng.below(6), machine);
                }
            }
        }
        if rng.one_in(8) {
            std::thread::sleep(Duration::from_micros(rng.below(300) as u64));
        }
    }

    fn run_machine(&self, rng: &mut Rng) {
        let Some(mut machine) = self.machines.take(rng.below(6)) else { return };
        let mut guard = self.lock();
        for _ in 0..rng.below(4) {
            let ran = catch_unwind(AssertUnwindSafe(|| {
                guard.scope_mut(&mut machine, |cx, machine| self.work(cx, machine, rng));
                // Fails if another thread's panic has poisoned the space meanwhile.
                guard.safepoint();
            }));
            if ran.is_err() {
                break;
            }
        }
        if rng.one_in(2) {
            drop(guard);
        }
        if !rng.one_in(4) {
            self.machines.put(rng.below(6), machine);
        }
    }

    fn work<'gc>(&self, cx: &mut Exclusive<'gc>, machine: &mut Machine<'gc>, rng: &mut Rng) {
        check_machine(cx, machine);
        for _ in 0..rng.below(8) {
            let new = node(cx, &self.chaos, machine.things.last().copied());
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
        }
        for value in machine.stack.as_mut_full() {
            if let Some(node) = value.downcast::<Node<'_>>() {
                node.life.assert_alive();
            }
        }
    }

    /// Holds a guard over safepoints, unlocks, collections.
    fn hold(&self, rng: &mut Rng) {
        let mut guard = self.lock();
        let held = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..rng.below(6) {
                guard.scope(|cx| self.mutate(cx, rng));
                match rng.below(5) {
                    0 => guard.unlocked(|| self.shared(|cx| self.read(cx, rng))),
                    1 => drop(guard.collect()),
                    2 => guard.unlocked(|| drop(self.roots.take(rng.below(24)))),
                    _ => guard.safepoint(),
                }
            }
        }));
        if held.is_ok() && rng.one_in(2) {
            let unlocked = guard.begin_unlock();
            std::thread::yield_now();
            if let Ok(mut guard) = unlocked.try_end_unlock() {
                guard.scope(|cx| self.mutate(cx, rng));
            }
        }
    }

    fn several(&self, rng: &mut Rng) {
        let modes = [LockMode::Shared, LockMode::Exclusive, LockMode::Transaction];
        let mode = modes[rng.below(3)];
        let locks =
            CSpace::lock_multiple([(&self.space, mode), (&self.older, LockMode::Exclusive)]);
        match locks {
            Ok(mut locks) => {
                let guard = locks.get_mut(0).expect("not released");
                if let Some(guard) = guard.exclusive() {
                    guard.scope(|cx| self.mutate(cx, rng));
                } else if let Some(guard) = guard.shared() {
                    guard.scope(|cx| self.read(cx, rng));
                }
            }
            Err(LockError::Poisoned { .. }) => self.space.clear_poison(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Everybody has left: see that nothing is wrong, and nothing left when all handles are gone.
    fn end(self, rng: &mut Rng) {
        self.chaos.calm();
        let Arena { older, space, chaos, directory, roots, machines, .. } = self;
        space.clear_poison();
        space.synchronous_gc().expect("visits are calm");
        let report = space.verify().expect("nobody is inside");
        assert!(report.is_clean(), "{report}");
        match rng.below(3) {
            0 => {
                drop((directory, roots, machines));
                space.synchronous_gc().expect("visits are calm");
                assert_eq!(space.num_objects(), 0);
                assert_eq!(space.num_roots(), 0);
                wait_until_gone(&older, &chaos);
                drop(space);
            }
            1 => {
                older.exclusive(|_| drop(space));
                drop((directory, roots, machines));
            }
            _ => {
                drop(space);
                machines.clear();
                drop((directory, roots, machines));
            }
        }
        wait_until_gone(&older, &chaos);
    }
}

/// Reads what a machine reaches.
#[track_caller]
pub fn check_machine<'gc, C>(cx: &C, machine: &Machine<'gc>)
where
    C: cspace::Access<'gc> + cspace::CellAccess<'gc>,
{
    machine.life.assert_alive();
    for thing in &machine.things {
        assert_whole(cx, *thing);
    }
    for value in machine.stack.iter() {
        if let Some(node) = value.downcast::<Node<'gc>>() {
            node.life.assert_alive();
        }
    }
    for weak in &machine.weaks {
        if let Some(target) = weak.upgrade(cx) {
            assert_whole(cx, target);
        }
    }
    for number in 0..NAMES {
        if let Some(name) = machine.names.find(number % 7, |n| *n.header() == number) {
            assert_name(name, number);
        }
    }
}

/// Waits until everything that was made is dropped: another test's thread may have taken work over.
pub fn wait_until_gone(any_space: &CSpace, chaos: &Chaos) {
    let begun = Instant::now();
    while chaos.alive() != 0 || chaos.owed() != (0, 0) {
        let (left, (hooks, cleaners)) = (chaos.alive(), chaos.owed());
        assert!(
            begun.elapsed().as_secs() < 30,
            "{left} things were never dropped, {hooks} hooks not called once, {cleaners} cleaners not run once"
        );
        any_space.exclusive(|_| {});
        std::thread::yield_now();
    }
}
