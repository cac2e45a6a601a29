//! What the threads put into their spaces: objects that know whether they are alive.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use cspace::collector::ForCollectors;
use cspace::{
    Alloc, CSpace, Cleaner, CollectError, EphemeronMap, Exclusive, Gc, GcAny, GcCell, GcRoot,
    GcWeak, IObject, NanBox, RootStack, Rootable, Slot, Space, Static, Tail, Visitor, WeakCSpace,
    WeakSet,
};

use crate::exchange::Exchange;
use crate::rng::Rng;

/// What a drop does now and then.
type Act = Box<dyn Fn(Rng, &Arc<Chaos>) + Send + Sync>;

/// What happens by chance, and how often; and how many things there are.
pub struct Chaos {
    seed: AtomicU64,
    /// A visit panics once in so many times; 0: never.
    visit_panics: AtomicUsize,
    drop_acts: AtomicUsize,
    act: Act,
    /// Threads that do something by chance, or are about to find out whether to.
    acting: AtomicUsize,
    made: AtomicUsize,
    dropped: AtomicUsize,
    /// Objects with a hook, and hooks that were called.
    hooked: Tally,
    cleaned: Tally,
    cleaners: Exchange<Cleaner>,
}

/// How many things are due, and how many were done.
#[derive(Default)]
struct Tally {
    due: AtomicUsize,
    done: AtomicUsize,
}

impl Tally {
    /// What is left to be done. More done than due counts too, as very much.
    fn left(&self) -> usize {
        let done = self.done.load(Relaxed);
        self.due.load(Relaxed).wrapping_sub(done)
    }
}

impl Chaos {
    /// Drops play with one space.
    pub fn new(seed: u64, space: WeakCSpace, visit_panics: usize, drop_acts: usize) -> Arc<Chaos> {
        let act = move |rng, chaos: &Arc<Chaos>| act_in_drop(rng, chaos, &space);
        Chaos::with_act(seed, visit_panics, drop_acts, Box::new(act))
    }

    pub fn with_act(seed: u64, visit_panics: usize, drop_acts: usize, act: Act) -> Arc<Chaos> {
        Arc::new(Chaos {
            seed: seed.into(),
            visit_panics: visit_panics.into(),
            drop_acts: drop_acts.into(),
            act,
            acting: 0.into(),
            made: 0.into(),
            dropped: 0.into(),
            hooked: Tally::default(),
            cleaned: Tally::default(),
            cleaners: Exchange::new(CLEANERS),
        })
    }

    /// From now on nothing happens by chance. Waits for what is happening: a drop on a collector's thread may be about
    /// to allocate, which no collection would come for any more.
    pub fn calm(&self) {
        self.visit_panics.store(0, SeqCst);
        self.drop_acts.store(0, SeqCst);
        let begun = Instant::now();
        while !self.is_quiet() {
            assert!(begun.elapsed().as_secs() < 60, "what a drop does hangs");
            std::thread::yield_now();
        }
    }

    fn chance(&self, once_in: &AtomicUsize) -> Option<Rng> {
        let times = once_in.load(SeqCst);
        let mut rng = Rng::new(self.seed.fetch_add(1, Relaxed));
        (times != 0 && rng.one_in(times)).then_some(rng)
    }

    /// Now and then does what drops do.
    pub fn act_by_chance(self: &Arc<Self>) {
        struct Acting<'a>(&'a AtomicUsize);
        impl Drop for Acting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.acting.fetch_add(1, SeqCst);
        let _acting = Acting(&self.acting);
        if let Some(rng) = self.chance(&self.drop_acts) {
            (self.act)(rng, self);
        }
    }

    /// Once it is [calm](Chaos::calm): whether nothing happens by chance any more.
    pub fn is_quiet(&self) -> bool {
        self.acting.load(SeqCst) == 0
    }

    /// How many were made, and how many dropped.
    pub fn counts(&self) -> (usize, usize) {
        (self.made.load(Relaxed), self.dropped.load(Relaxed))
    }

    pub fn alive(&self) -> usize {
        // Drops are counted after makes, so read them first.
        let dropped = self.dropped.load(Relaxed);
        self.made.load(Relaxed).saturating_sub(dropped)
    }

    /// Hooks that were not called, and cleaners that did not run.
    pub fn owed(&self) -> (usize, usize) {
        (self.hooked.left(), self.cleaned.left())
    }

    /// Registers a cleaner now and then, and cleans one by hand now and then, of whatever object.
    fn clean<'gc>(self: &Arc<Self>, cx: &Alloc<'gc>, object: Gc<'gc, Node<'gc>>, number: u64) {
        if number % 3 != 0 {
            return;
        }
        self.cleaned.due.fetch_add(1, Relaxed);
        let chaos = Arc::clone(self);
        let cleaner = cx.register_cleaner(object, move || {
            chaos.cleaned.done.fetch_add(1, Relaxed);
            // By hand it runs within an access.
            if Space::is_sweeping() {
                chaos.act_by_chance();
            }
        });
        if let Some(other) = self.cleaners.put(number as usize, cleaner) {
            if number % 2 == 0 {
                other.clean();
            }
        }
    }

    pub fn life(self: &Arc<Self>) -> Life {
        let number = self.made.fetch_add(1, Relaxed) as u64;
        Life { number, check: !number, is_found_dead: false, chaos: Arc::clone(self) }
    }
}

/// A value that is counted, and knows whether it has been dropped or overwritten.
pub struct Life {
    number: u64,
    check: u64,
    is_found_dead: bool,
    chaos: Arc<Chaos>,
}

/// Handles of cleaners that are kept to clean by hand.
const CLEANERS: usize = 16;

impl Life {
    #[track_caller]
    pub fn assert_alive(&self) {
        assert!(self.number_is_whole(), "an object is read that is dead");
    }

    pub fn number_is_whole(&self) -> bool {
        self.check == !self.number
    }

    /// The hook of objects.
    fn found_dead(&mut self) {
        if !self.number_is_whole() || std::mem::replace(&mut self.is_found_dead, true) {
            eprintln!("a hook is called twice, or for what was dropped or overwritten");
            std::process::abort();
        }
        let chaos = Arc::clone(&self.chaos);
        chaos.hooked.done.fetch_add(1, Relaxed);
        chaos.act_by_chance();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.check != !self.number {
            // In whose `chaos` nothing is to be believed.
            eprintln!("what is dropped was dropped before, or overwritten");
            std::process::abort();
        }
        self.check = 0;
        let chaos = Arc::clone(&self.chaos);
        chaos.dropped.fetch_add(1, Relaxed);
        chaos.act_by_chance();
    }
}

/// The payload of a drop that panics.
pub const DROP_PANICS: &str = "a drop panics";

/// What drops of a careless program do.
fn act_in_drop(mut rng: Rng, chaos: &Arc<Chaos>, space: &WeakCSpace) {
    if rng.one_in(20) {
        // A driver is late with this one, so its stand-in collects meanwhile.
        return std::thread::sleep(Duration::from_millis(15));
    }
    let Some(space) = space.upgrade() else { return };
    match rng.below(6) {
        0 => resume_unwind(Box::new(DROP_PANICS)),
        1 => {
            // A drop may run within an access of its thread (of an owned value whose space is gone, of
            // an error's value), so it asks before it waits.
            let life = chaos.life();
            let _ = space.exclusive_for(Duration::from_millis(20), |cx| {
                cx.alloc(Static(life));
            });
        }
        2 => match space.synchronous_gc() {
            Err(
                CollectError::InSweep { .. }
                | CollectError::InsideAccess { .. }
                | CollectError::Busy { .. }
                | CollectError::VisitPanicked { .. }
                | CollectError::Lock(_),
            )
            | Ok(_) => {}
            Err(error) => panic!("{error}"),
        },
        3 => {
            // A whole space, destroyed within a sweep.
            let inner = CSpace::new();
            let root = inner.exclusive(|cx| {
                cx.alloc(Static(chaos.life()));
                cx.root(cx.alloc(Static(chaos.life())))
            });
            if rng.one_in(2) {
                let _ = inner.synchronous_gc();
            }
            drop(inner);
            drop(root);
        }
        4 => {
            let _ = space.shared_for(Duration::from_millis(20), |cx| cx.num_objects());
        }
        _ => space.request_gc(),
    }
}

/// A part of an object whose visit may panic.
pub struct Frail(pub Arc<Chaos>);

impl Rootable for Frail {
    type At<'gc> = Frail;
}
// SAFETY: there is no handle inside, and the drop touches no object.
unsafe impl<'gc> IObject<'gc> for Frail {
    type R = Frail;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        if self.0.chance(&self.0.visit_panics).is_some() {
            resume_unwind(Box::new("a visit panics"));
        }
    }
}

#[derive(IObject)]
pub struct Node<'gc> {
    #[cspace(on_collect = "Life::found_dead")]
    pub life: Static<Life>,
    pub next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    pub other: Slot<'gc, NanBox<'gc>>,
    pub weak: Slot<'gc, Option<GcWeak<'gc, Node<'gc>>>>,
    pub bag: GcCell<'gc, Vec<GcAny<'gc>>>,
    /// About other nodes.
    pub notes: GcCell<'gc, EphemeronMap<'gc, Gc<'gc, Node<'gc>>, Note<'gc>>>,
    frail: Frail,
}

/// What a node knows about another one.
#[derive(IObject)]
pub struct Note<'gc> {
    /// Which node it is about: another one may be at the same address later.
    life_of: u64,
    /// Mostly refers to the other one.
    pub node: Gc<'gc, Node<'gc>>,
}

pub type Row<'gc> = Tail<Static<Life>, Slot<'gc, Option<Gc<'gc, Node<'gc>>>>>;

/// A name to be interned, without drop glue.
pub type Name = Tail<u64, u64>;

/// The one object that every thread finds.
#[derive(IObject)]
pub struct Directory<'gc> {
    pub lists: [Slot<'gc, Option<Gc<'gc, Node<'gc>>>>; 8],
    pub names: GcCell<'gc, WeakSet<'gc, Name>>,
    pub kept: GcCell<'gc, Vec<Gc<'gc, Name>>>,
}

#[derive(IObject)]
pub struct Machine<'gc> {
    pub life: Static<Life>,
    pub things: Vec<Gc<'gc, Node<'gc>>>,
    pub stack: RootStack<NanBox<'gc>>,
    pub weaks: Vec<GcWeak<'gc, Node<'gc>>>,
    pub names: WeakSet<'gc, Name>,
}

pub type NodeRoot = GcRoot<Rootable![Node<'_>]>;
pub type OwnedMachine = cspace::OwnedRoot<Rootable![Machine<'_>]>;

pub const STACK: usize = 16;

pub fn node<'gc>(
    cx: &Alloc<'gc>,
    chaos: &Arc<Chaos>,
    next: Option<Gc<'gc, Node<'gc>>>,
) -> Gc<'gc, Node<'gc>> {
    let life = chaos.life();
    let number = life.number;
    let node = cx.alloc(Node {
        life: Static(life),
        next: Slot::new(next),
        other: Slot::new(NanBox::NIL),
        weak: Slot::new(None),
        bag: GcCell::new(Vec::new()),
        notes: GcCell::new(EphemeronMap::new()),
        frail: Frail(Arc::clone(chaos)),
    });
    chaos.hooked.due.fetch_add(1, Relaxed);
    chaos.clean(cx, node, number);
    node
}

/// Notes something about `about` at `at`: a new node that refers to it, and has a note about its own.
pub fn take_note<'gc>(
    cx: &mut Exclusive<'gc>,
    chaos: &Arc<Chaos>,
    at: Gc<'gc, Node<'gc>>,
    about: Gc<'gc, Node<'gc>>,
) {
    let (noted, end) = (node(cx, chaos, Some(about)), node(cx, chaos, Some(at)));
    for (at, about, node) in [(at, about, noted), (noted, noted, end)] {
        let (alloc, cells) = cx.split();
        let notes = at.notes.borrow_mut(cells);
        if notes.len_hint() > 20 {
            notes.retain(alloc, |key, _| Gc::ptr_eq(key, about));
        }
        let old = notes.insert(alloc, about, Note { life_of: about.life.number, node });
        assert!(old.is_none_or(|old| old.life_of == about.life.number), "a note about a dead node");
    }
}

/// Looks at what a node knows about others, and returns one of those that it knows about.
#[track_caller]
pub fn assert_notes<'gc, C>(cx: &C, node: Gc<'gc, Node<'gc>>) -> Option<Gc<'gc, Node<'gc>>>
where
    C: cspace::Access<'gc> + cspace::CellAccess<'gc>,
{
    let mut any = None;
    for (about, note) in node.notes.borrow(cx).iter(cx) {
        about.life.assert_alive();
        assert_eq!(about.life.number, note.life_of, "a note about a dead node");
        note.node.life.assert_alive();
        any = Some(about);
    }
    any
}

pub fn row<'gc>(
    cx: &Alloc<'gc>,
    chaos: &Arc<Chaos>,
    len: usize,
    target: Option<Gc<'gc, Node<'gc>>>,
) -> Gc<'gc, Row<'gc>> {
    cx.alloc_tail(Static(chaos.life()), len, |_| Slot::new(target))
}

pub fn name<'gc>(cx: &Alloc<'gc>, number: u64) -> Gc<'gc, Name> {
    cx.alloc_tail_copy(number, &[number ^ NAME; 3])
}

const NAME: u64 = 0x5EED_0F0A_11A3_E500;

#[track_caller]
pub fn assert_name(name: Gc<'_, Name>, number: u64) {
    assert_eq!(*name.header(), number, "a weak set shows something else");
    assert!(name.elems().iter().all(|word| *word == number ^ NAME), "a name is damaged");
}

/// Reads what a node reaches, up to a depth.
#[track_caller]
pub fn assert_whole<'gc, C>(cx: &C, first: Gc<'gc, Node<'gc>>)
where
    C: cspace::Access<'gc> + cspace::CellAccess<'gc>,
{
    let mut at = Some(first);
    for _ in 0..64 {
        let Some(node) = at else { return };
        node.life.assert_alive();
        assert_notes(cx, node);
        for item in node.bag.borrow(cx) {
            assert_any_whole(cx, *item);
        }
        if let Some(any) = node.other.get(cx).as_any() {
            assert_any_whole(cx, any);
        }
        if let Some(target) = node.weak.get(cx).and_then(|weak| weak.upgrade(cx)) {
            target.life.assert_alive();
        }
        at = node.next.get(cx);
    }
}

#[track_caller]
fn assert_any_whole<'gc>(cx: &impl cspace::Access<'gc>, any: GcAny<'gc>) {
    if let Some(node) = any.downcast::<Node<'gc>>() {
        node.life.assert_alive();
    } else if let Some(row) = any.downcast::<Row<'gc>>() {
        row.header().assert_alive();
        for slot in row.elems().iter().take(4) {
            if let Some(node) = slot.get(cx) {
                node.life.assert_alive();
            }
        }
    } else {
        panic!("an edge leads to no kind of object: {any:?}");
    }
}
