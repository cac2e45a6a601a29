//! Features that hold alone, and with each other: programs driven by hand in which the dead wait for their drops while all
//! else goes on. CONTRIBUTING.md has a table of which test is about which pair of features.

use std::collections::HashSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cspace::collector::{Batch, Extent, ForCollectors, LockWait, MarkPhase, Remains};
use cspace::*;

use crate::probe::{on_drop, Drops};
use crate::watchdog::{eventually, within};

/// Choices, the same ones for a seed (SplitMix64).
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Notes that its object was dropped; twice is an error.
struct Token {
    id: usize,
    dropped: Arc<Mutex<HashSet<usize>>>,
}

impl Drop for Token {
    fn drop(&mut self) {
        assert!(self.dropped.lock().unwrap().insert(self.id), "{} is dropped twice", self.id);
    }
}

#[derive(IObject)]
struct Node<'gc> {
    id: usize,
    token: Static<Token>,
    name: Slot<'gc, Option<Gc<'gc, usize>>>,
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    soft: Slot<'gc, Option<Evictable<'gc, Node<'gc>>>>,
}

impl Node<'_> {
    fn check(&self, id: usize) {
        assert_eq!((self.id, self.token.0.id), (id, id));
        assert!(!self.token.0.dropped.lock().unwrap().contains(&id), "{id} is used after its drop");
    }
}

type NodeFamily = Rootable![Node<'_>];

#[derive(IObject)]
struct Tables<'gc> {
    set: GcCell<'gc, WeakSet<'gc, Node<'gc>>>,
    map: GcCell<'gc, EphemeronMap<'gc, Gc<'gc, Node<'gc>>, Gc<'gc, Node<'gc>>>>,
}

/// What a cycle left to do, at any point of it.
enum Left {
    Batch(Batch),
    Remains(Box<Remains>),
}

/// Two spaces, and all that refers to what is in them.
struct Program {
    choices: Choices,
    made: usize,
    dropped: Arc<Mutex<HashSet<usize>>>,
    cleaned: Arc<AtomicUsize>,
    cleaners: usize,
    spaces: [Space; 2],
    tables: [GcRoot<Rootable![Tables<'_>]>; 2],
    /// With the number of the object and of the next one.
    roots: Vec<(GcRoot<NodeFamily>, usize, Option<usize>)>,
    owned: Vec<OwnedRoot<NodeFamily>>,
    soft: Vec<EvictableRoot<NodeFamily>>,
    left: Vec<Left>,
}

fn space(tells: bool) -> Space {
    let evictor = Evictor::new();
    evictor.set_eviction_threshold(Some(300));
    let space = Space::builder().eviction_policy(evictor.clone()).poison_freed(true);
    if tells {
        evictor.on_evict(|_, object| {
            let node = object.downcast::<Node<'_>>().unwrap();
            node.check(node.id);
        });
    }
    space.build().unwrap()
}

impl Program {
    fn new(seed: u64) -> Program {
        let spaces = [space(seed % 2 == 0), space(false)];
        let tables = spaces.each_ref().map(|space| {
            space.exclusive(|cx| {
                let (set, map) = (WeakSet::new(), EphemeronMap::new());
                cx.root(cx.alloc(Tables { set: GcCell::new(set), map: GcCell::new(map) }))
            })
        });
        Program {
            choices: Choices(seed),
            made: 0,
            dropped: Arc::default(),
            cleaned: Arc::default(),
            cleaners: 0,
            spaces,
            tables,
            roots: Vec::new(),
            owned: Vec::new(),
            soft: Vec::new(),
            left: Vec::new(),
        }
    }

    fn node<'gc>(&mut self) -> Node<'gc> {
        let token = Static(Token { id: self.made, dropped: Arc::clone(&self.dropped) });
        self.made += 1;
        let (name, next, soft) = (Slot::new(None), Slot::new(None), Slot::new(None));
        Node { id: token.0.id, token, name, next, soft }
    }

    /// A pair of objects, held in some ways or in none.
    fn make(&mut self, at: usize) {
        self.spaces[at].clone().exclusive(|cx| {
            let (node, next) = (cx.alloc(self.node()), cx.alloc(self.node()));
            let next_id = self.choices.one_in(2).then_some(next.id);
            node.name.set(cx, Some(cx.alloc(node.id)));
            node.next.set(cx, next_id.map(|_| next));
            node.soft.set(cx, Some(cx.evictable_with_size(next, 50)));
            if self.choices.one_in(3) {
                self.soft.push(cx.evictable_root(next));
            }
            if self.choices.one_in(2) {
                self.roots.push((cx.root(node), node.id, next_id));
            }
            if self.choices.one_in(6) {
                let owner = self.node();
                owner.next.set(cx, Some(node));
                self.owned.push(cx.own_root(owner));
            }
            if self.choices.one_in(5) {
                self.cleaners += 1;
                let cleaned = Arc::clone(&self.cleaned);
                cx.register_cleaner(node, move || _ = cleaned.fetch_add(1, SeqCst));
            }
            for tables in &self.tables {
                let Ok(tables) = tables.try_get(cx) else { continue };
                let (alloc, cells) = cx.split();
                tables.set.borrow_mut(cells).insert(alloc, node.id as u64, node);
                tables.map.borrow_mut(cells).insert(alloc, node, next);
            }
        });
    }

    fn cycle(&mut self, at: usize) {
        // A batch that is not swept keeps others out.
        let Some(claim) = self.spaces[at].try_claim_cycle() else { return };
        let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
        let extent = if self.choices.one_in(3) { Extent::MinorWillDo } else { Extent::Full };
        phase.mark_as(extent).unwrap();
        let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
        self.left.push(Left::Batch(finish.condemn().unwrap().0));
    }

    /// Goes on with something that was left, by a step.
    fn go_on(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let at = self.choices.below(self.left.len());
        match (self.left.swap_remove(at), self.choices.below(4)) {
            (Left::Batch(batch), 0) => drop(batch),
            (Left::Batch(batch), 1) => _ = batch.reclaim().ok().unwrap(),
            (Left::Batch(batch), _) => self.left.push(Left::Remains(Box::new(batch.sweep()))),
            (Left::Remains(remains), 0) => drop(remains),
            (Left::Remains(remains), _) => _ = remains.run().ok().unwrap(),
        }
    }

    /// All that is held is there, in one of the spaces.
    fn check(&self) {
        for (root, id, next) in &self.roots {
            let found = self.spaces.each_ref().map(|space| {
                space.shared(|cx| {
                    let Ok(node) = root.try_get(cx) else { return false };
                    node.check(*id);
                    assert_eq!(node.name.get(cx).map(|name| *name), Some(*id));
                    if let Some(next) = next {
                        node.next.get(cx).unwrap().check(*next);
                    }
                    if let Some(soft) = node.soft.get(cx).and_then(|soft| soft.peek(cx)) {
                        soft.check(id + 1);
                    }
                    for tables in &self.tables {
                        let Ok(tables) = tables.try_get(cx) else { continue };
                        let set = tables.set.borrow(cx);
                        if let Some(found) = set.find(*id as u64, |node| node.id == *id) {
                            assert!(Gc::ptr_eq(found, node));
                        }
                        if let Some(value) = tables.map.borrow(cx).get(cx, node) {
                            value.check(id + 1);
                        }
                    }
                    true
                })
            });
            assert_ne!(found[0], found[1], "{id} is in one of the spaces");
        }
    }

    fn verify(&self, at: usize) {
        let Some(claim) = self.spaces[at].try_claim_cycle() else { return };
        drop(claim);
        let report = self.spaces[at].verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }

    fn step(&mut self) {
        let at = self.choices.below(2);
        match self.choices.below(14) {
            0..=3 => self.make(at),
            4 if !self.roots.is_empty() => {
                let root = self.choices.below(self.roots.len());
                self.roots.swap_remove(root);
            }
            4 => drop((self.owned.pop(), self.soft.pop())),
            5 | 6 => self.cycle(at),
            7..=9 => self.go_on(),
            10 => _ = self.spaces[at].transfer_from(&self.spaces[1 - at]).unwrap(),
            11 => self.verify(at),
            _ => self.check(),
        }
    }
}

#[test]
fn the_dead_that_wait_are_dropped_once_whatever_goes_on_beside_them() {
    let (seeds, steps) = if cfg!(miri) { (2, 60) } else { (200, 200) };
    for seed in 0..seeds {
        let mut program = Program::new(seed);
        for _ in 0..steps {
            program.step();
        }
        program.check();
        let Program { made, dropped, cleaned, cleaners, spaces, tables, .. } = program;
        drop((tables, program.roots, program.owned, program.soft));
        // The spaces end before what is left of their cycles, or after.
        if seed % 2 == 0 {
            drop((spaces, program.left));
        } else {
            drop((program.left, spaces));
        }
        // This thread's, which it may do now.
        Space::builder().build().unwrap().exclusive(|_| ());
        eventually(|| dropped.lock().unwrap().len() == made);
        assert_eq!(cleaned.load(SeqCst), cleaners, "seed {seed}");
    }
}

/// A space whose worker waits in a drop for as long as what is returned with it is kept.
fn with_a_worker_that_waits() -> (CSpace, impl Drop) {
    let space = CSpace::builder().poison_freed(true).build().unwrap();
    let (release, released) = channel::<()>();
    let (says, waits) = channel();
    let (released, says) = (Mutex::new(released), Mutex::new(says));
    let wait = move || {
        says.lock().unwrap().send(()).unwrap();
        released.lock().unwrap().recv().unwrap_err();
    };
    space.exclusive(|cx| cx.alloc(on_drop(wait)).addr());
    space.request_gc();
    waits.recv().unwrap();
    (space, on_drop(move || drop(release)).0)
}

#[test]
fn evictable_objects_give_way_while_user_code_waits() {
    within(|| {
        let (space, waiting) = with_a_worker_that_waits();
        let told = Arc::new(AtomicUsize::new(0));
        let of_callback = Arc::clone(&told);
        space.on_evict(move |_, _| _ = of_callback.fetch_add(1, SeqCst));
        let drops = Drops::new();
        let pages: Vec<_> = space
            .exclusive(|cx| (0..10).map(|_| cx.evictable_root(cx.alloc(drops.probe()))).collect());
        space.set_eviction_threshold(0);
        assert_eq!(space.synchronous_gc().unwrap().objects_evicted, 10);
        assert!(space.shared(|cx| pages.iter().all(|page| page.is_evicted(cx))));
        drop(waiting);
        eventually(|| told.load(SeqCst) == 10);
        space.synchronous_gc().unwrap();
        eventually(|| drops.count() == 10);
    });
}

#[test]
fn a_space_may_be_poisoned_read_and_cleared_while_user_code_waits() {
    within(|| {
        let (space, waiting) = with_a_worker_that_waits();
        let drops = Drops::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
        let broken = catch_unwind(AssertUnwindSafe(|| {
            space.exclusive(|cx| {
                cx.alloc(drops.probe());
                panic!("in the middle of a change");
            })
        }));
        assert!(broken.is_err() && space.is_poisoned());
        let report = space.synchronous_gc().unwrap();
        assert_eq!((report.objects_live, report.objects_reclaimed), (1, 1));
        space.clear_poison();
        space.shared(|cx| assert!(root.try_get(cx).is_ok()));
        assert_eq!(space.num_objects(), 1);
        drop((root, waiting));
        space.synchronous_gc().unwrap();
        eventually(|| drops.count() == 2);
    });
}
