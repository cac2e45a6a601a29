//! A graph in which everything that can hold an object does.
//!
//! Nodes have one holder of each sort; outside there is one of each sort of root. The model knows only edges, strong,
//! ephemeral and evictable, and finds out by going over all of them until nothing changes which nodes
//!
//! - **must** be alive: what is reached without evictable references;
//! - **may** be: what is reached with them, and after a collection that was not a full one everything else.
//!
//! What was dropped is known from the nodes' own drops. Every node that must be alive is, none is after a full
//! collection that may not be, and with a threshold of zero none that need not be. No holder shows a node that was
//! dropped, weak ones show all that must be alive, and a cleaner runs exactly once for each node that is gone.
//! `verify()` has nothing to report after each collection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

use cspace::collector::{Extent, ForCollectors, LockWait, MarkPhase};
use cspace::{
    Access, Alloc, CSpace, Cleaner, EphemeronMap, Evictable, EvictableRoot, EvictionPin, Exclusive,
    Gc, GcAny, GcCell, GcMode, GcRoot, GcWeak, IObject, NanBox, OwnedRoot, RootStack, Rootable,
    Slice, Slot, Static, WeakRoot, WeakSet, WeakValueMap,
};

use crate::tracker::{DropLog, Tracker};

const NODES_MAX: usize = 400;
const STEPS_MAX: usize = 400;
/// Sizes of tails: within a page, a block, runs of blocks, and a mapping of its own.
const TAILS: [usize; 6] = [0, 3, 100, 2000, 20_000, 140_000];
/// The limit of a space that has one, and how much of it tails may take: the rest is for what cannot be refused.
const LIMIT: usize = 16 << 20;
const TAIL_BYTES_MAX: usize = 12 << 20;
/// Few, so that names collide.
const HASHES: usize = 3;

type Edge<'gc> = Option<Gc<'gc, Node<'gc>>>;
type Links<'gc> = Slice<Slot<'gc, Edge<'gc>>>;
type Map<'gc> = EphemeronMap<'gc, Gc<'gc, Node<'gc>>, Gc<'gc, Node<'gc>>>;

#[derive(IObject)]
struct Node<'gc> {
    number: usize,
    tracker: Static<Tracker>,
    slot: Slot<'gc, Edge<'gc>>,
    bits: Slot<'gc, NanBox<'gc>>,
    bag: GcCell<'gc, Vec<Gc<'gc, Node<'gc>>>>,
    boxed: GcCell<'gc, Option<Box<GcAny<'gc>>>>,
    links: Slot<'gc, Option<Gc<'gc, Links<'gc>>>>,
    map: GcCell<'gc, Map<'gc>>,
    names: GcCell<'gc, WeakSet<'gc, Node<'gc>>>,
    values: GcCell<'gc, WeakValueMap<'gc, u8, Node<'gc>>>,
    weak: Slot<'gc, Option<GcWeak<'gc, Node<'gc>>>>,
    soft: Slot<'gc, Option<Evictable<'gc, Node<'gc>>>>,
}

type Family = Rootable![Node<'_>];

/// What the model knows of a node.
#[derive(Default, Clone)]
struct ModelNode {
    slot: Option<usize>,
    bits: Option<usize>,
    bag: Vec<usize>,
    boxed: Option<usize>,
    links: BTreeMap<usize, usize>,
    links_len: Option<usize>,
    map: BTreeMap<usize, usize>,
    names: BTreeSet<usize>,
    values: BTreeMap<u8, usize>,
    weak: Option<usize>,
    soft: Option<usize>,
}

impl ModelNode {
    fn strong(&self) -> impl Iterator<Item = usize> + '_ {
        let single = [self.slot, self.bits, self.boxed].into_iter().flatten();
        single.chain(self.bag.iter().copied()).chain(self.links.values().copied())
    }
}

/// A space with all that holds on to it from outside.
struct World {
    space: CSpace,
    /// Every node that was made here, or came with a merge.
    weak: BTreeMap<usize, WeakRoot<Family>>,
    roots: Vec<(usize, GcRoot<Family>)>,
    pins: Vec<(usize, EvictionPin<Family>)>,
    soft: Vec<(usize, EvictableRoot<Family>)>,
    in_root_set: BTreeSet<usize>,
    owned: OwnedRoot<Rootable![Owned<'_>]>,
    owned_nodes: Vec<usize>,
    stack_nodes: Vec<usize>,
    /// Whether the next cycle lets go of what was in the way of an allocation.
    was_denied: bool,
    threshold: Option<usize>,
    is_limited: bool,
    /// Bytes of tails that were made and may be there.
    tail_bytes: usize,
}

#[derive(IObject)]
struct Owned<'gc> {
    nodes: Vec<Gc<'gc, Node<'gc>>>,
    stack: RootStack<NanBox<'gc>>,
}

const STACK: usize = 8;

struct Run<'b> {
    bytes: std::slice::Iter<'b, u8>,
    nodes: Vec<ModelNode>,
    log: Arc<DropLog>,
    cleaners: Vec<(usize, Arc<AtomicUsize>, Cleaner)>,
    /// Those that the program ran itself.
    cleaned: BTreeSet<usize>,
}

/// Runs a program; panics where it does not agree.
pub fn run(bytes: &[u8]) {
    let mut bytes = bytes.iter();
    let limited = bytes.next().is_some_and(|byte| byte % 4 == 0);
    let mut run = Run {
        bytes,
        nodes: Vec::new(),
        log: DropLog::new(NODES_MAX + 1),
        cleaners: Vec::new(),
        cleaned: BTreeSet::new(),
    };
    let mut worlds = [World::new(limited), World::new(false)];
    for _ in 0..STEPS_MAX {
        if run.bytes.as_slice().is_empty() {
            break;
        }
        run.step(&mut worlds, limited);
    }
    for world in &mut worlds {
        run.collect(world);
    }
    drop(worlds);
    assert_eq!(run.log.not_once(), None, "a node was not dropped exactly once");
    for (node, count, cleaner) in &run.cleaners {
        assert!(cleaner.is_taken());
        assert!(count.load(Relaxed) <= 1, "the cleaner of {node} ran more than once");
    }
}

impl World {
    fn new(limited: bool) -> World {
        let builder = CSpace::builder().gc(GcMode::Manual).poison_freed(true);
        let builder = builder.gc_budget_floor(64 << 10);
        let space = if limited { builder.max_heap_bytes(LIMIT) } else { builder }.build().unwrap();
        let owned = space.exclusive(|cx| {
            let stack = RootStack::new(STACK, NanBox::from_f64(0.0));
            cx.own_root(Owned { nodes: Vec::new(), stack })
        });
        World {
            space,
            weak: BTreeMap::new(),
            roots: Vec::new(),
            pins: Vec::new(),
            soft: Vec::new(),
            in_root_set: BTreeSet::new(),
            owned,
            owned_nodes: Vec::new(),
            stack_nodes: Vec::new(),
            was_denied: false,
            threshold: None,
            is_limited: limited,
            tail_bytes: 0,
        }
    }
}

/// Nodes that a mutator may still come by: all that were not dropped.
fn usable<'gc>(
    cx: &impl Access<'gc>,
    weak: &BTreeMap<usize, WeakRoot<Family>>,
    log: &DropLog,
) -> Vec<Gc<'gc, Node<'gc>>> {
    let upgraded = weak.iter().filter_map(|(number, weak)| {
        let node = weak.upgrade(cx)?;
        assert!(node.tracker.is_whole() && node.number == *number, "node {number} is not itself");
        assert_eq!(log.drops_of(*number as u32), 0, "node {number} is shown and was dropped");
        Some(node)
    });
    upgraded.collect()
}

impl Run<'_> {
    fn byte(&mut self) -> usize {
        self.bytes.next().map_or(0, |byte| usize::from(*byte))
    }

    fn is_dropped(&self, number: usize) -> bool {
        self.log.drops_of(number as u32) > 0
    }

    /// What is reached in a world, with evictable references or without.
    fn reached(&self, world: &World, with_soft: bool) -> BTreeSet<usize> {
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        let mut stack: Vec<usize> = Vec::new();
        stack.extend(world.roots.iter().map(|(number, _)| number));
        stack.extend(world.pins.iter().map(|(number, _)| number));
        stack.extend(&world.in_root_set);
        stack.extend(world.owned_nodes.iter().chain(&world.stack_nodes));
        if with_soft {
            stack.extend(
                world.soft.iter().map(|(number, _)| number).filter(|n| !self.is_dropped(**n)),
            );
        }
        loop {
            while let Some(number) = stack.pop() {
                if reached.insert(number) {
                    let node = &self.nodes[number];
                    stack.extend(node.strong());
                    if with_soft {
                        stack.extend(node.soft.filter(|number| !self.is_dropped(*number)));
                    }
                }
            }
            let entries = reached.iter().flat_map(|number| &self.nodes[*number].map);
            let new: Vec<usize> = entries
                .filter(|(key, value)| reached.contains(key) && !reached.contains(value))
                .map(|(_, value)| *value)
                .collect();
            if new.is_empty() {
                return reached;
            }
            stack = new;
        }
    }

    fn step(&mut self, worlds: &mut [World; 2], limited: bool) {
        let action = self.byte();
        let which = usize::from(action >= 224);
        match action % 32 {
            0..=22 => {
                let world = &mut worlds[which];
                let space = world.space.clone();
                space.exclusive(|cx| self.mutate(cx, world, action % 32));
            }
            23 => {
                let world = &mut worlds[which];
                let at = self.byte();
                match at % 4 {
                    0 if !world.roots.is_empty() => {
                        _ = world.roots.swap_remove(at / 4 % world.roots.len())
                    }
                    1 if !world.pins.is_empty() => {
                        _ = world.pins.swap_remove(at / 4 % world.pins.len())
                    }
                    2 if !world.soft.is_empty() => {
                        _ = world.soft.swap_remove(at / 4 % world.soft.len())
                    }
                    _ => _ = world.roots.pop(),
                }
            }
            24 => {
                let threshold = (self.byte() % 2 == 0).then_some(0);
                worlds[which].threshold = threshold;
                worlds[which].space.set_eviction_threshold(threshold);
            }
            25 => {
                let at = self.byte();
                if let Some((_, count, cleaner)) = self.cleaners.get(at) {
                    let before = count.load(Relaxed);
                    let ran = cleaner.clean();
                    self.cleaned.insert(at);
                    assert_eq!(count.load(Relaxed), before + usize::from(ran));
                }
            }
            26 => {
                let at = self.byte();
                worlds[which].space.set_stress(at % 2 == 0);
            }
            27 => self.give_up(&mut worlds[which]),
            28 => self.collect_in_part(&mut worlds[which]),
            29 if !limited => self.merge(worlds),
            _ => self.collect(&mut worlds[which]),
        }
    }

    fn mutate<'gc>(&mut self, cx: &mut Exclusive<'gc>, world: &mut World, action: usize) {
        let usable = usable(cx, &world.weak, &self.log);
        let (a, b) = (self.byte(), self.byte());
        if usable.is_empty() || action < 6 {
            return self.alloc(cx, world, a, usable.last().copied());
        }
        let (node, other) = (usable[a % usable.len()], usable[b % usable.len()]);
        let (n, o) = (node.number, other.number);
        let model = &mut self.nodes[n];
        let clears = a >= 240;
        let is_limited = world.is_limited;
        match action {
            6 => {
                node.slot.set(cx, (!clears).then_some(other));
                model.slot = (!clears).then_some(o);
            }
            7 => {
                let bits = if clears { NanBox::from_f64(b as f64) } else { NanBox::from_gc(other) };
                node.bits.set(cx, bits);
                model.bits = (!clears).then_some(o);
            }
            8 => {
                node.bag.borrow_mut(cx).push(other);
                model.bag.push(o);
            }
            9 => {
                let popped = node.bag.borrow_mut(cx).pop();
                assert_eq!(popped.map(|popped| popped.number), model.bag.pop());
            }
            10 => {
                let any = (!clears).then(|| Box::new(GcAny::new(other)));
                *node.boxed.borrow_mut(cx) = any;
                model.boxed = (!clears).then_some(o);
            }
            11 => {
                let len = TAILS[b % TAILS.len()];
                // Now and then one for which there is no room, whatever is let go of.
                let len = if clears && is_limited { LIMIT } else { len };
                let bytes = len * size_of::<Slot<'_, Edge<'_>>>();
                if len < LIMIT && world.tail_bytes + bytes > TAIL_BYTES_MAX {
                    return;
                }
                match cx.try_alloc_slice(len, |_| Slot::new(None)) {
                    Ok(links) => {
                        world.tail_bytes += bytes;
                        node.links.set(cx, Some(links));
                        (model.links, model.links_len) = (BTreeMap::new(), Some(len));
                    }
                    Err(_) => world.was_denied = true,
                }
            }
            12 => {
                if let Some(links) = node.links.get(cx).filter(|links| links.len() > 0) {
                    // At the ends and around the middle: other pages and blocks.
                    let at = [0, links.len() - 1, links.len() / 2, b % links.len()][a / 8 % 4];
                    links.elems()[at].set(cx, Some(other));
                    model.links.insert(at, o);
                }
            }
            13 | 14 => {
                let third = usable[(a ^ b) % usable.len()];
                let (alloc, cells) = cx.split();
                let map = node.map.borrow_mut(cells);
                let (old, known) = if action == 13 {
                    (map.insert(alloc, other, third), model.map.insert(o, third.number))
                } else {
                    (map.remove(alloc, other), model.map.remove(&o))
                };
                assert_eq!(old.map(|old| old.number), known);
            }
            15 => {
                let (alloc, cells) = cx.split();
                let names = node.names.borrow_mut(cells);
                if model.names.insert(o) {
                    names.insert(alloc, (o % HASHES) as u64, other);
                }
            }
            16 => {
                let (alloc, cells) = cx.split();
                let key = (b % 16) as u8;
                _ = node.values.borrow_mut(cells).insert(alloc, key, other);
                model.values.insert(key, o);
            }
            17 => {
                if let Ok(weak) = cx.try_downgrade(other) {
                    node.weak.set(cx, Some(weak));
                    model.weak = Some(o);
                } else {
                    world.was_denied = true;
                }
            }
            18 => {
                if let Ok(soft) = cx.try_evictable_with_size(other, b) {
                    if clears {
                        world.soft.push((o, cx.evictable_root(other)));
                    } else {
                        node.soft.set(cx, Some(soft));
                        model.soft = Some(o);
                    }
                } else {
                    world.was_denied = true;
                }
            }
            19 => match b % 3 {
                0 => world.roots.push((n, cx.root(node))),
                1 => {
                    if let Some(soft) = node.soft.get(cx) {
                        if let Some(pin) = soft.pin(cx) {
                            world.pins.push((pin.get(cx).number, pin));
                        }
                    }
                }
                _ => {
                    if let Some(root) = world.roots.last() {
                        world.roots.push(root.clone());
                    }
                }
            },
            20 => {
                if b % 3 > 0 {
                    assert_eq!(cx.add_gc_root(node).is_ok(), world.in_root_set.insert(n));
                } else {
                    assert_eq!(cx.remove_gc_root(node).is_ok(), world.in_root_set.remove(&n));
                }
            }
            21 => {
                let owned = world.owned.get_mut(cx);
                match b % 4 {
                    0 => {
                        owned.nodes.push(node);
                        world.owned_nodes.push(n);
                    }
                    1 => assert_eq!(
                        owned.nodes.pop().map(|node| node.number),
                        world.owned_nodes.pop()
                    ),
                    2 if world.stack_nodes.len() < STACK => {
                        owned.stack.push(NanBox::from_gc(node));
                        world.stack_nodes.push(n);
                    }
                    _ => {
                        assert_eq!(owned.stack.pop().is_some(), world.stack_nodes.pop().is_some());
                    }
                }
            }
            _ => {
                if self.cleaners.len() < 256 {
                    let count = Arc::new(AtomicUsize::new(0));
                    let counted = Arc::clone(&count);
                    let cleaner =
                        cx.register_cleaner(node, move || _ = counted.fetch_add(1, Relaxed));
                    self.cleaners.push((n, count, cleaner));
                }
            }
        }
    }

    fn alloc<'gc>(&mut self, cx: &Alloc<'gc>, world: &mut World, a: usize, last: Edge<'gc>) {
        if self.nodes.len() >= NODES_MAX {
            return;
        }
        let number = self.nodes.len();
        let tracker = self.log.tracker();
        assert_eq!(tracker.number() as usize, number);
        let next = last.filter(|_| a % 2 == 0);
        let node = Node {
            number,
            tracker: Static(tracker),
            slot: Slot::new(next),
            bits: Slot::new(NanBox::from_f64(a as f64)),
            bag: GcCell::new(Vec::new()),
            boxed: GcCell::new(None),
            links: Slot::new(None),
            map: GcCell::new(Map::new()),
            names: GcCell::new(WeakSet::new()),
            values: GcCell::new(WeakValueMap::new()),
            weak: Slot::new(None),
            soft: Slot::new(None),
        };
        // Its number is used up either way, and then it is dropped.
        self.nodes.push(ModelNode { slot: next.map(|next| next.number), ..ModelNode::default() });
        match cx.try_alloc(node) {
            Ok(node) => {
                if a % 4 < 2 {
                    world.roots.push((number, cx.root(node)));
                }
                world.weak.insert(number, cx.weak_root(node));
            }
            Err(_) => world.was_denied = true,
        }
    }

    fn merge(&mut self, worlds: &mut [World; 2]) {
        let source = std::mem::replace(&mut worlds[1], World::new(false));
        let target = &mut worlds[0];
        target.space.transfer_from(&source.space).unwrap();
        target.weak.extend(source.weak);
        target.roots.extend(source.roots);
        target.pins.extend(source.pins);
        target.soft.extend(source.soft);
        target.in_root_set.extend(source.in_root_set);
        target.tail_bytes += source.tail_bytes;
        // Its owned value is in the target now and goes with its handle; what was in it goes on, but for the stack's.
        let space = target.space.clone();
        space.exclusive(|cx| {
            let World { owned, owned_nodes, .. } = target;
            let nodes = source.owned.get(cx).nodes.clone();
            owned.get_mut(cx).nodes.extend(nodes);
            owned_nodes.extend(source.owned_nodes.iter().copied());
        });
        drop(source.owned);
        self.check(target, false, None);
    }

    /// A cycle that marks and is given up.
    fn give_up(&mut self, world: &mut World) {
        let claim = world.space.try_claim_cycle().unwrap();
        let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
        if self.byte() % 2 == 0 {
            phase.mark().unwrap();
        }
        drop(phase);
        self.check(world, false, None);
    }

    /// What a collector does of its own accord: an increment, or a cycle for which what is old may be alive.
    fn collect_in_part(&mut self, world: &mut World) {
        let claim = world.space.try_claim_cycle().unwrap();
        let phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
        let Some(mut phase) = phase.try_increment().unwrap() else {
            return self.check(world, false, None);
        };
        let must = self.reached(world, false);
        phase.mark_as(Extent::MinorWillDo).unwrap();
        let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
        let (batch, report) = finish.condemn().unwrap();
        assert!(batch.complete(report).is_ok(), "a sweep was deferred with nothing held");
        self.check(world, false, Some(must));
    }

    fn collect(&mut self, world: &mut World) {
        let (must, may) = (self.reached(world, false), self.reached(world, true));
        let report = world.space.collect().unwrap();
        assert_eq!(report.drop_panics, 0);
        assert!(!report.sweep_deferred);
        for number in world.weak.keys() {
            let is_alive = !self.is_dropped(*number);
            assert!(!must.contains(number) || is_alive, "node {number} is reached and was dropped");
            assert!(may.contains(number) || !is_alive, "node {number} is not reached and was kept");
            if world.threshold.is_none() && !world.was_denied {
                assert_eq!(is_alive, may.contains(number), "node {number} with nothing to evict");
            }
        }
        world.was_denied = false;
        let alive = world.weak.keys().filter(|number| !self.is_dropped(**number));
        let lens = alive.filter_map(|number| self.nodes[*number].links_len);
        world.tail_bytes = lens.map(|len| len * size_of::<usize>()).sum();
        self.check(world, true, Some(must));
    }

    /// Walks all that is to be alive, and looks at every holder.
    fn check(&mut self, world: &mut World, was_full: bool, must: Option<BTreeSet<usize>>) {
        let must = must.unwrap_or_else(|| self.reached(world, false));
        let space = world.space.clone();
        space.shared(|cx| {
            let alive: BTreeMap<usize, Gc<'_, Node<'_>>> = usable(cx, &world.weak, &self.log)
                .into_iter()
                .map(|node| (node.number, node))
                .collect();
            for number in &must {
                assert!(alive.contains_key(number), "node {number} must be alive and is not shown");
            }
            world.roots.iter().for_each(|(number, root)| assert_eq!(root.get(cx).number, *number));
            world.pins.iter().for_each(|(number, pin)| assert_eq!(pin.get(cx).number, *number));
            for (number, soft) in &world.soft {
                let shown = soft.peek(cx).map(|node| node.number);
                assert!(shown.is_none_or(|shown| shown == *number && alive.contains_key(number)));
            }
            for (number, node) in alive.iter().filter(|(number, _)| must.contains(number)) {
                let model = &self.nodes[*number];
                let slot = node.slot.get(cx).map(|node| node.number);
                assert_eq!(slot, model.slot, "the slot of {number}");
                let bits = node.bits.get(cx).downcast::<Node<'_>>().map(|node| node.number);
                assert_eq!(bits, model.bits, "the NaN box of {number}");
                let bag: Vec<usize> = node.bag.borrow(cx).iter().map(|node| node.number).collect();
                assert_eq!(bag, model.bag, "the bag of {number}");
                let boxed = node.boxed.borrow(cx).as_ref();
                let boxed = boxed.map(|any| any.downcast::<Node<'_>>().unwrap().number);
                assert_eq!(boxed, model.boxed, "the box of {number}");
                let links = node.links.get(cx);
                assert_eq!(links.map(|links| links.len()), model.links_len, "the tail of {number}");
                for (at, target) in &model.links {
                    let shown = links.unwrap().elems()[*at].get(cx).unwrap().number;
                    assert_eq!(shown, *target, "element {at} of {number}");
                }
                let map = node.map.borrow(cx);
                for (key, value) in &model.map {
                    let Some(key) = alive.get(key) else { continue };
                    let shown = map.get(cx, *key).map(|value| value.number);
                    assert_eq!(shown, Some(*value), "entry {} of {number}", key.number);
                }
                for (key, value) in map.iter(cx) {
                    assert_eq!(model.map.get(&key.number), Some(&value.number));
                    assert!(alive.contains_key(&key.number));
                }
                let names = node.names.borrow(cx);
                for name in &model.names {
                    let found = names.find((name % HASHES) as u64, |node| {
                        // What is dead is not even asked for.
                        assert!(node.tracker.is_whole() && !self.is_dropped(node.number));
                        node.number == *name
                    });
                    assert_eq!(
                        found.is_some(),
                        alive.contains_key(name),
                        "name {name} of {number}"
                    );
                }
                let values = node.values.borrow(cx);
                for (key, value) in &model.values {
                    let shown = values.get(cx, key).map(|value| value.number);
                    let expected = alive.get(value).map(|value| value.number);
                    assert_eq!(shown, expected, "weak value {key} of {number}");
                }
                let weak = node.weak.get(cx).and_then(|weak| weak.upgrade(cx));
                let expected = model.weak.filter(|number| alive.contains_key(number));
                assert_eq!(
                    weak.map(|node| node.number),
                    expected,
                    "the weak reference of {number}"
                );
                if let Some(soft) = node.soft.get(cx).and_then(|soft| soft.peek(cx)) {
                    assert_eq!(Some(soft.number), model.soft);
                    assert!(alive.contains_key(&soft.number));
                }
            }
        });
        for (at, (number, count, cleaner)) in self.cleaners.iter().enumerate() {
            let count = count.load(Relaxed);
            assert!(count <= 1 && (count == 0 || cleaner.is_taken()));
            let may_run = self.is_dropped(*number) || self.cleaned.contains(&at);
            assert!(may_run || !cleaner.is_taken(), "the cleaner of {number} ran too early");
            if self.is_dropped(*number) {
                assert!(cleaner.is_taken(), "the cleaner of {number} did not run");
            }
        }
        if was_full {
            // A soft reference whose target went is empty from now on.
            let dropped = |number: &usize| self.log.drops_of(*number as u32) > 0;
            world.soft.retain(|(number, _)| !dropped(number));
        }
        let report = world.space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}
