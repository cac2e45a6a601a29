//! A graph that changes through slots alone, or not at all, and cycles in parts with changes in between.
//!
//! [`holders`](crate::holders) has cells in every node, and whatever has one is looked at again by each minor cycle and
//! each last increment. Here nothing is, so what an insertion barrier forgets, or a minor cycle takes to be dead, is lost.
//! The space is under stress, where an increment traces a few objects only.
//!
//! Everything is found by walking from the roots, in the heap and in the model side by side, after each step: no weak
//! reference is needed, so the number of objects is exact too, and so are their bytes after a full collection. Bytes
//! pass no limit at any time.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cspace::collector::{Extent, ForCollectors, LockWait, MarkPhase};
use cspace::{
    Access, Alloc, Category, Charge, Exclusive, Gc, GcRoot, IObject, Rootable, Slice, Slot, Space,
    Static,
};

use crate::tracker::{DropLog, Tracker};

const STEPS_MAX: usize = 400;
const OBJECTS_MAX: usize = 100;
/// Lengths of rows: within a page, a run of blocks, a mapping of its own.
const ROWS: [usize; 8] = [1, 2, 3, 5, 70, 300, 2000, 20_000];
/// Of these at most so many in a program, for they take time.
const LARGE_MAX: usize = 6;
const HEAP_LIMIT: usize = 400 << 10;
const LEDGER_LIMIT: usize = 500 << 10;

type Edge<'gc> = Option<Gc<'gc, Link<'gc>>>;
type Row<'gc> = Slice<Part<'gc>>;

/// It changes, through slots.
#[derive(IObject)]
struct Link<'gc> {
    number: usize,
    tracker: Static<Tracker>,
    slots: [Slot<'gc, Edge<'gc>>; 2],
    stone: Slot<'gc, Option<Gc<'gc, Stone<'gc>>>>,
    row: Slot<'gc, Option<Gc<'gc, Row<'gc>>>>,
}

/// It does not.
#[derive(IObject)]
struct Stone<'gc> {
    number: usize,
    tracker: Static<Tracker>,
    link: Edge<'gc>,
    below: Option<Gc<'gc, Stone<'gc>>>,
}

/// The last one of a row has its tracker.
#[derive(IObject)]
struct Part<'gc> {
    tracker: Static<Option<Tracker>>,
    slot: Slot<'gc, Edge<'gc>>,
    padding: [u64; 4],
}

/// What nobody has: to fill a heap with.
type Loose = [u64; 12];

type LinkFamily = Rootable![Link<'_>];

/// What the model knows of an object.
#[derive(Clone, Debug)]
enum Model {
    Link { slots: [Option<usize>; 2], stone: Option<usize>, row: Option<usize> },
    Stone { link: Option<usize>, below: Option<usize> },
    Row { len: usize, parts: BTreeMap<usize, usize> },
}

impl Model {
    fn edges(&self) -> Vec<usize> {
        match self {
            Model::Link { slots, stone, row } => {
                slots.iter().chain([stone, row]).copied().flatten().collect()
            }
            Model::Stone { link, below } => [link, below].into_iter().copied().flatten().collect(),
            Model::Row { parts, .. } => parts.values().copied().collect(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Model::Link { .. } => measured(0),
            Model::Stone { .. } => measured(1),
            Model::Row { len, .. } => measured(2 + ROWS.iter().position(|l| l == len).unwrap()),
        }
    }
}

/// Bytes of an object, found out once by an object that is alone in its space.
fn measured(kind: usize) -> usize {
    static MEASURED: [OnceLock<usize>; 2 + ROWS.len()] =
        [const { OnceLock::new() }; 2 + ROWS.len()];
    *MEASURED[kind].get_or_init(|| {
        let space = Space::builder().build().unwrap();
        let log = DropLog::new(1);
        let root = space.exclusive(|cx| match kind {
            0 => Box::new(cx.root(link(cx, &log, None))) as Box<dyn Any>,
            1 => {
                let tracker = Static(log.tracker());
                Box::new(cx.root(cx.alloc(Stone { number: 0, tracker, link: None, below: None })))
            }
            _ => Box::new(cx.root(cx.alloc_slice(ROWS[kind - 2], part(&log, ROWS[kind - 2])))),
        });
        cycle(&space, Extent::Full);
        drop(root);
        space.memory().live
    })
}

fn link<'gc>(cx: &Alloc<'gc>, log: &Arc<DropLog>, next: Edge<'gc>) -> Gc<'gc, Link<'gc>> {
    match cx.try_alloc(new_link(log, next)) {
        Ok(link) => link,
        Err(_) => panic!("there is no limit"),
    }
}

fn new_link<'gc>(log: &Arc<DropLog>, next: Edge<'gc>) -> Link<'gc> {
    let tracker = log.tracker();
    Link {
        number: tracker.number() as usize,
        tracker: Static(tracker),
        slots: [Slot::new(None), Slot::new(next)],
        stone: Slot::new(None),
        row: Slot::new(None),
    }
}

fn part<'gc>(log: &Arc<DropLog>, len: usize) -> impl FnMut(usize) -> Part<'gc> + '_ {
    move |at| Part {
        tracker: Static((at + 1 == len).then(|| log.tracker())),
        slot: Slot::new(None),
        padding: [at as u64; 4],
    }
}

/// A whole cycle; without the last part of a mark, if an increment was due.
fn cycle(space: &Space, extent: Extent) -> bool {
    let claim = space.try_claim_cycle().unwrap();
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    if extent == Extent::MinorWillDo {
        match phase.try_increment().unwrap() {
            Some(whole) => phase = whole,
            None => return false,
        }
    }
    phase.mark_as(extent).unwrap();
    condemn(space, phase);
    true
}

fn condemn(space: &Space, phase: MarkPhase) {
    let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
    let (batch, mut report) = finish.condemn().unwrap();
    let reclaimed = batch.reclaim_then(|reclaimed| space.note_cycle(&mut report, reclaimed));
    assert!(reclaimed.is_ok(), "a sweep was deferred with nothing held");
}

#[derive(Clone, Copy)]
enum Found<'gc> {
    Link(Gc<'gc, Link<'gc>>),
    Stone(Gc<'gc, Stone<'gc>>),
    Row(Gc<'gc, Row<'gc>>),
}

struct World {
    space: Space,
    roots: Vec<(usize, GcRoot<LinkFamily>)>,
    charges: Vec<Charge>,
    /// Objects that nobody has, and that may be there.
    loose: usize,
    /// Those of the model that were made here or came with a merge.
    made: BTreeSet<usize>,
}

struct Run<'b> {
    bytes: std::slice::Iter<'b, u8>,
    log: Arc<DropLog>,
    model: Vec<Model>,
    large: usize,
    is_limited: bool,
    /// Increments follow each other, and not on minor cycles.
    has_minor_cycles: bool,
}

/// Runs a program; panics where it does not agree.
pub fn run(bytes: &[u8]) {
    let mut bytes = bytes.iter();
    let setting = bytes.next().copied().unwrap_or(0);
    let mut run = Run {
        bytes,
        log: DropLog::new(OBJECTS_MAX + 4),
        model: Vec::new(),
        large: 0,
        is_limited: setting & 1 > 0,
        has_minor_cycles: setting & 2 > 0,
    };
    let mut worlds = [run.world(), run.world()];
    for _ in 0..STEPS_MAX {
        if run.bytes.as_slice().is_empty() {
            break;
        }
        let at = run.step(&mut worlds);
        run.check(&mut worlds[at]);
    }
    for world in &mut worlds {
        run.full(world);
        world.roots.clear();
        world.charges.clear();
        run.full(world);
        let (memory, ledger) = (world.space.memory(), world.space.ledger());
        assert_eq!(
            (memory.allocated, memory.charged, ledger.bytes()),
            (0, 0, 0),
            "bytes of nothing"
        );
    }
    drop(worlds);
    assert_eq!(run.log.not_once(), None, "an object was not dropped exactly once");
}

impl Run<'_> {
    fn byte(&mut self) -> usize {
        self.bytes.next().map_or(0, |byte| usize::from(*byte))
    }

    fn world(&self) -> World {
        let builder = Space::builder().stress(true).poison_freed(true);
        let mut builder = builder.minor_collections(self.has_minor_cycles);
        if self.is_limited {
            builder = builder.max_heap_bytes(HEAP_LIMIT).memory_limit(LEDGER_LIMIT);
        }
        let space = builder.build().unwrap();
        // Nothing is done in parts before something is known.
        cycle(&space, Extent::Full);
        let (roots, charges) = (Vec::new(), Vec::new());
        World { space, roots, charges, loose: 0, made: BTreeSet::new() }
    }

    /// Walks from the roots, in the heap and in the model side by side. Everything must be as the model has it.
    fn walk<'gc>(&self, cx: &impl Access<'gc>, world: &World) -> BTreeMap<usize, Found<'gc>> {
        let mut found = BTreeMap::new();
        let roots = world.roots.iter().map(|(number, root)| (*number, Found::Link(root.get(cx))));
        let mut stack: Vec<(usize, Found<'gc>)> = roots.collect();
        while let Some((number, object)) = stack.pop() {
            assert_eq!(self.log.drops_of(number as u32), 0, "{number} is reached and was dropped");
            if found.insert(number, object).is_some() {
                continue;
            }
            let links = |shown: Edge<'gc>, known: Option<usize>| {
                assert_eq!(shown.is_some(), known.is_some(), "an edge of {number}");
                Some((known?, Found::Link(shown?)))
            };
            match (object, &self.model[number]) {
                (Found::Link(link), Model::Link { slots, stone, row }) => {
                    assert!(
                        link.tracker.is_whole() && link.number == number,
                        "{number} is not itself"
                    );
                    assert_eq!(link.tracker.number() as usize, number);
                    let shown = [link.slots[0].get(cx), link.slots[1].get(cx)];
                    stack.extend(links(shown[0], slots[0]));
                    stack.extend(links(shown[1], slots[1]));
                    let shown = link.stone.get(cx);
                    assert_eq!(shown.is_some(), stone.is_some(), "the stone of {number}");
                    stack.extend(shown.map(|shown| (stone.unwrap(), Found::Stone(shown))));
                    let shown = link.row.get(cx);
                    assert_eq!(shown.is_some(), row.is_some(), "the row of {number}");
                    stack.extend(shown.map(|shown| (row.unwrap(), Found::Row(shown))));
                }
                (Found::Stone(stone), Model::Stone { link, below }) => {
                    assert!(
                        stone.tracker.is_whole() && stone.number == number,
                        "{number} is not itself"
                    );
                    stack.extend(links(stone.link, *link));
                    assert_eq!(stone.below.is_some(), below.is_some(), "what is below {number}");
                    stack.extend(stone.below.map(|shown| (below.unwrap(), Found::Stone(shown))));
                }
                (Found::Row(row), Model::Row { len, parts }) => {
                    assert_eq!(row.len(), *len, "the length of {number}");
                    let tracker =
                        row.elems()[len - 1].tracker.as_ref().expect("the last one has it");
                    assert!(tracker.is_whole() && tracker.number() as usize == number);
                    for at in [0, len / 2, len - 1] {
                        assert!(row.elems()[at].padding == [at as u64; 4], "part {at} of {number}");
                        stack.extend(links(row.elems()[at].slot.get(cx), parts.get(&at).copied()));
                    }
                }
                _ => panic!("{number} is of another kind"),
            }
        }
        found
    }

    /// What is reached, by the model alone.
    fn reached(&self, world: &World) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut stack: Vec<usize> = world.roots.iter().map(|(number, _)| *number).collect();
        while let Some(number) = stack.pop() {
            if reached.insert(number) {
                stack.extend(self.model[number].edges());
            }
        }
        reached
    }

    /// Does a step; says in which world.
    fn step(&mut self, worlds: &mut [World; 2]) -> usize {
        let action = self.byte();
        let which = usize::from(action >= 208);
        let world = &mut worlds[which];
        let space = world.space.clone();
        match action % 16 {
            0..=8 => space.exclusive(|cx| self.mutate(cx, world, action % 16)),
            9 => {
                let at = self.byte();
                if !world.roots.is_empty() {
                    _ = world.roots.swap_remove(at % world.roots.len());
                }
            }
            10 | 11 => {
                if cycle(&space, Extent::MinorWillDo) {
                    self.swept(world);
                }
            }
            12 => self.full(world),
            13 => {
                let claim = space.try_claim_cycle().unwrap();
                let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
                match self.byte() % 3 {
                    0 => {}
                    1 => phase.mark().unwrap(),
                    _ => phase.mark_as(Extent::MinorWillDo).unwrap(),
                }
                drop(phase);
            }
            14 => self.charge(world),
            _ if action % 32 == 15 => {
                self.beside_a_reader(world);
            }
            _ => {
                let fresh = self.world();
                let source = std::mem::replace(&mut worlds[1], fresh);
                let target = &mut worlds[0];
                let sums = [&source.space, &target.space].map(|space| space.ledger().charged());
                match target.space.transfer_from(&source.space) {
                    Ok(_) => {
                        target.roots.extend(source.roots);
                        target.charges.extend(source.charges);
                        target.loose += source.loose;
                        target.made.extend(source.made);
                        let charged = target.space.ledger().charged();
                        assert_eq!(charged, sums.iter().sum::<usize>(), "charges of a merge");
                    }
                    Err(_) => {
                        assert!(self.is_limited, "a merge was refused without a limit");
                        worlds[1] = source;
                    }
                }
                return 0;
            }
        }
        which
    }

    fn mutate<'gc>(&mut self, cx: &mut Exclusive<'gc>, world: &mut World, action: usize) {
        let found = self.walk(cx, world);
        let links: Vec<(usize, Gc<'gc, Link<'gc>>)> = found
            .iter()
            .filter_map(|(number, found)| match found {
                Found::Link(link) => Some((*number, *link)),
                _ => None,
            })
            .collect();
        let (a, b) = (self.byte(), self.byte());
        let has_room = self.log.made() < OBJECTS_MAX as u32;
        if links.is_empty() || action == 0 {
            if !has_room {
                return;
            }
            let number = self.log.made() as usize;
            self.model.push(Model::Link { slots: [None; 2], stone: None, row: None });
            if let Ok(link) = cx.try_alloc(new_link(&self.log, None)) {
                world.made.insert(number);
                world.roots.push((number, cx.root(link)));
            }
            return;
        }
        let (n, node) = links[a / 2 % links.len()];
        let (o, other) = links[b / 2 % links.len()];
        let (s, t) = (a % 2, b % 2);
        match action {
            // What was there is behind the new one.
            1 if has_room => {
                let old = node.slots[s].get(cx);
                let number = self.log.made() as usize;
                let known = self.slots(n)[s];
                self.model.push(Model::Link { slots: [None, known], stone: None, row: None });
                if let Ok(link) = cx.try_alloc(new_link(&self.log, old)) {
                    world.made.insert(number);
                    node.slots[s].set(cx, Some(link));
                    self.slots(n)[s] = Some(number);
                }
            }
            2 if has_room => {
                let number = self.log.made() as usize;
                let tracker = self.log.tracker();
                let below = node.stone.get(cx);
                let Model::Link { stone: known, .. } = &self.model[n] else { unreachable!() };
                let (link, to) = if t > 0 { (Some(other), Some(o)) } else { (None, None) };
                self.model.push(Model::Stone { link: to, below: *known });
                let stone = Stone { number, tracker: Static(tracker), link, below };
                if let Ok(new) = cx.try_alloc(stone) {
                    world.made.insert(number);
                    node.stone.set(cx, Some(new));
                    let Model::Link { stone, .. } = &mut self.model[n] else { unreachable!() };
                    *stone = Some(number);
                }
            }
            3 if has_room => {
                let len = ROWS[b % ROWS.len()];
                if len >= 2000 {
                    self.large += 1;
                    if self.large > LARGE_MAX {
                        return;
                    }
                }
                // Only one that is made has a number.
                let number = self.log.made() as usize;
                if let Ok(new) = cx.try_alloc_slice(len, part(&self.log, len)) {
                    self.model.push(Model::Row { len, parts: BTreeMap::new() });
                    world.made.insert(number);
                    node.row.set(cx, Some(new));
                    let Model::Link { row, .. } = &mut self.model[n] else { unreachable!() };
                    *row = Some(number);
                } else if self.log.made() as usize > number {
                    self.model.push(Model::Row { len, parts: BTreeMap::new() });
                }
            }
            4 => {
                node.slots[s].set(cx, Some(other));
                self.slots(n)[s] = Some(o);
            }
            // From one slot to another.
            5 => {
                let moved = other.slots[t].replace(cx, None);
                let known = self.slots(o)[t].take();
                node.slots[s].set(cx, moved);
                self.slots(n)[s] = known;
            }
            6 => {
                if b % 4 == 0 {
                    node.stone.set(cx, None);
                    node.row.set(cx, None);
                    let Model::Link { stone, row, .. } = &mut self.model[n] else { unreachable!() };
                    (*stone, *row) = (None, None);
                } else {
                    node.slots[s].set(cx, None);
                    self.slots(n)[s] = None;
                }
            }
            7 => {
                let Model::Link { row: Some(known), .. } = self.model[n] else {
                    // What takes room and is nobody's.
                    for _ in 0..b * 8 {
                        let Ok(_) = cx.try_alloc([b as u64; 12] as Loose) else { break };
                        world.loose += 1;
                        let allocated = world.space.memory().allocated;
                        assert!(!self.is_limited || allocated <= HEAP_LIMIT, "small objects");
                    }
                    return;
                };
                let row = node.row.get(cx).expect("as the model has it");
                let at = [row.len() - 1, 0, row.len() / 2][b / 2 % 3];
                let Model::Row { parts, .. } = &mut self.model[known] else { unreachable!() };
                // Only what is also on its own way, or moved away from there.
                if t > 0 {
                    row.elems()[at].slot.set(cx, Some(node));
                    parts.insert(at, n);
                } else {
                    let moved = node.slots[s].replace(cx, None);
                    row.elems()[at].slot.set(cx, moved);
                    let to = self.slots(n)[s].take();
                    let Model::Row { parts, .. } = &mut self.model[known] else { unreachable!() };
                    match to {
                        Some(to) => _ = parts.insert(at, to),
                        None => _ = parts.remove(&at),
                    }
                }
            }
            _ => world.roots.push((n, cx.root(node))),
        }
    }

    fn slots(&mut self, number: usize) -> &mut [Option<usize>; 2] {
        match &mut self.model[number] {
            Model::Link { slots, .. } => slots,
            _ => panic!("{number} is no link"),
        }
    }

    /// Bytes outside of the heap, which count too.
    fn charge(&mut self, world: &mut World) {
        let byte = self.byte();
        let ledger = world.space.ledger();
        let before = ledger.charged();
        match byte % 4 {
            0 => _ = world.charges.pop(),
            1 => {
                if let Some(charge) = world.charges.last_mut() {
                    let grown = charge.try_grow(byte << 9);
                    let more = if grown.is_ok() { byte << 9 } else { 0 };
                    assert_eq!(ledger.charged(), before + more, "a charge that grows");
                }
            }
            _ => {
                let charge = ledger.try_charge(Category::Buffers, byte << 10);
                let more = charge.as_ref().map_or(0, |charge| charge.bytes());
                assert_eq!(ledger.charged(), before + more, "a charge");
                world.charges.extend(charge);
            }
        }
    }

    /// Readers root what they find, and let go of roots, between the mark and the finish.
    fn beside_a_reader(&mut self, world: &mut World) {
        let space = world.space.clone();
        let claim = space.try_claim_cycle().unwrap();
        let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
        phase.mark_as(Extent::MinorWillDo).unwrap();
        let (a, b) = (self.byte(), self.byte());
        if !world.roots.is_empty() {
            // On a thread of its own, as this one is the collector.
            let read = |cx: &cspace::Shared<'_>| {
                let links = self.walk(cx, world).into_iter();
                let links = links.filter_map(|(number, found)| match found {
                    Found::Link(link) => Some((number, link)),
                    _ => None,
                });
                let links: Vec<_> = links.collect();
                let (number, link) = links[a % links.len()];
                (number, cx.root(link))
            };
            let reader = || world.space.shared(read);
            let found = std::thread::scope(|scope| scope.spawn(reader).join()).unwrap();
            world.roots.push(found);
            world.roots.swap_remove(b % world.roots.len());
        }
        if b % 4 == 0 {
            drop(phase);
            return;
        }
        if b % 4 == 1 {
            phase.drain_late().unwrap();
        }
        condemn(&space, phase);
        self.swept(world);
    }

    fn full(&mut self, world: &mut World) {
        cycle(&world.space, Extent::Full);
        world.loose = 0;
        let reached = self.reached(world);
        for number in &world.made {
            let is_alive = self.log.drops_of(*number as u32) == 0;
            assert_eq!(is_alive, reached.contains(number), "{number} after a full collection");
        }
        world.made = reached;
        let bytes: usize = world.made.iter().map(|number| self.model[*number].bytes()).sum();
        assert_eq!(world.space.memory().live, bytes, "the bytes of {:?}", world.made);
        assert_eq!(world.space.memory().allocated, bytes);
        let report = world.space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }

    /// After a cycle that need not find everything that is dead.
    fn swept(&mut self, world: &mut World) {
        let log = &self.log;
        world.made.retain(|number| log.drops_of(*number as u32) == 0);
        let loose = world.space.num_objects() - world.made.len();
        assert!(loose <= world.loose, "objects that nobody made");
        world.loose = loose;
        let report = world.space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }

    fn check(&self, world: &mut World) {
        world.space.shared(|cx| _ = self.walk(cx, world));
        assert_eq!(world.space.num_objects(), world.made.len() + world.loose, "objects");
        let (memory, ledger) = (world.space.memory(), world.space.ledger());
        assert_eq!(ledger.bytes(), memory.allocated + memory.charged);
        let charged: usize = world.charges.iter().map(Charge::bytes).sum();
        assert_eq!(memory.charged, charged, "charges");
        if self.is_limited {
            assert!(memory.allocated <= HEAP_LIMIT, "{} bytes", memory.allocated);
            assert!(ledger.bytes() <= LEDGER_LIMIT, "{} bytes with charges", ledger.bytes());
        }
    }
}
