//! A thread that does everything, in an order by chance.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cspace::native::{AutoArena, ConfigBuilder, Context, DirectBuffer, SharedArena};
use cspace::{
    Access, CSpace, Category, CellAccess, Charge, Exclusive, GcMode, LockMode, NanBox, Static,
};

use super::graph::{cleaning, make, Node, NodeRoot};
use super::World;
use crate::random::Random;

const ROOTS_MAX: usize = 64;
const LOT_MAX: usize = 32;
const BAG_MAX: usize = 4;
const CHARGES_MAX: usize = 8;
const BUFFER_BYTES_MAX: u64 = 20_000;

pub(super) struct Mutator<'w> {
    world: &'w World,
    random: Random,
    roots: Vec<NodeRoot>,
    charges: Vec<Charge>,
    generation: u64,
    /// In ids: so that those of threads differ.
    next_id: u64,
}

impl<'w> Mutator<'w> {
    pub(super) fn new(world: &'w World, seed: u64) -> Mutator<'w> {
        let (roots, charges) = (Vec::new(), Vec::new());
        let next_id = seed << 40;
        Mutator { world, random: Random::new(seed), roots, charges, generation: 0, next_id }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    pub(super) fn run(mut self) {
        while !self.world.stop.load(Relaxed) {
            let generation = self.world.generation.load(Relaxed);
            if generation != self.generation {
                self.generation = generation;
                self.roots.clear();
                self.charges.clear();
            }
            let world = self.world;
            let space = &world.spaces[self.below(world.spaces.len())];
            match self.below(200) {
                0..=99 => self.change(space),
                100..=129 => self.read(space),
                130..=149 => self.in_steps(space),
                150..=159 => self.load(),
                160..=169 => self.native(space),
                170..=174 => self.request(space),
                175..=182 => self.hand_over(),
                183..=186 => self.lock_all(),
                187..=195 => self.set(space),
                196 => {
                    let source = &world.spaces[self.below(world.spaces.len())];
                    // Into itself, or there is no room.
                    if space.transfer_from(source).is_ok() {
                        world.counts.merges.fetch_add(1, Relaxed);
                    }
                }
                197 => {
                    // Another thread may be doing as much.
                    let _ = space.stop_gc();
                    let _ = space.start_gc();
                }
                _ => drop(space.synchronous_gc()),
            }
        }
    }

    /// A new node, linked to what is there; with everything that a node can have.
    fn grow<'gc>(&mut self, cx: &mut Exclusive<'gc>) {
        let world = self.world;
        let counts = &world.counts;
        self.next_id += 2;
        let id = self.next_id;
        let made = make(cx, id, self.generation, counts)
            .and_then(|node| Ok((node, make(cx, id + 1, self.generation, counts)?)));
        let Ok((node, leaf)) = made else {
            counts.refused.fetch_add(1, Relaxed);
            self.roots.clear();
            return;
        };
        let at = self.below(self.roots.len().max(1));
        let other = self.roots.get(at).and_then(|root| root.try_get(cx).ok());
        let other = other.filter(|other| other.generation == self.generation).unwrap_or(leaf);
        node.slot.set(cx, Some(other));
        node.bits.set(cx, NanBox::from_gc(leaf));
        if let Ok(weak) = cx.try_downgrade(other) {
            node.weak.set(cx, Some(weak));
        }
        if let Ok(soft) = cx.try_evictable_with_size(leaf, self.below(2000)) {
            node.soft.set(cx, Some(soft));
            let (alloc, cells) = cx.split();
            _ = node.kept.borrow_mut(cells).insert(alloc, Static(0), soft);
        }
        if other.bag.borrow(cx).len() < BAG_MAX {
            other.bag.borrow_mut(cx).push(node);
        }
        let (alloc, cells) = cx.split();
        _ = other.map.borrow_mut(cells).insert(alloc, node, leaf);
        node.names.borrow_mut(cells).insert(alloc, other.id, other);
        match self.below(8) {
            0 => drop(cx.register_cleaner(node, cleaning(counts))),
            1 => {
                let size = self.below(BUFFER_BYTES_MAX as usize);
                if let Ok(buffer) = DirectBuffer::allocate(cx, size) {
                    buffer.bytes_mut(cx).expect("it is new").fill(node.id as u8);
                    node.buffer.set(cx, Some(buffer));
                }
            }
            _ => {}
        }
        if self.roots.len() >= ROOTS_MAX {
            let at = self.below(ROOTS_MAX);
            self.roots.swap_remove(at);
        }
        self.roots.push(cx.root(node));
    }

    fn change(&mut self, space: &CSpace) {
        space.exclusive(|cx| {
            for _ in 0..4 {
                self.grow(cx);
            }
            let at = self.below(self.roots.len().max(1));
            if let Some(Ok(node)) = self.roots.get(at).map(|root| root.try_get(cx)) {
                check(cx, &node);
                node.slot.set(cx, None);
                node.bag.borrow_mut(cx).clear();
            }
        });
    }

    fn read(&mut self, space: &CSpace) {
        space.shared(|cx| {
            for node in self.roots.iter().filter_map(|root| root.try_get(cx).ok()) {
                check(cx, &node);
            }
        });
        let at = self.below(self.roots.len().max(1));
        if at < self.roots.len() {
            self.roots.swap_remove(at);
        }
    }

    /// With safepoints in between.
    fn in_steps(&mut self, space: &CSpace) {
        let mut guard = space.lock();
        for _ in 0..8 {
            guard.scope(|cx| self.grow(cx));
            guard.safepoint();
        }
    }

    /// From the library, where there is room for everything.
    fn load(&mut self) {
        let world = self.world;
        let key = self.random.below(500);
        let generation = self.generation;
        let loaded = world.cache.get_or_load(
            &world.library,
            &key,
            || if key == 0 { Err("no such key") } else { Ok(key) },
            |cx, id| cx.alloc(Node::new(id, generation, &world.counts)),
        );
        let Ok(root) = loaded else { return assert_eq!(key, 0, "what can be loaded was not") };
        world.counts.loads.fetch_add(1, Relaxed);
        world.library.exclusive(|cx| {
            let node = root.get(cx);
            node.check();
            assert_eq!(node.id, key, "the cache has another object");
            // What is put into this map has to have room in the heap.
            let (alloc, cells) = cx.split();
            let before = node.values.borrow_mut(cells).insert(alloc, 0, node);
            assert!(before.is_none_or(|before| before.id == key), "a weak value is another");
        });
    }

    /// Arenas, contexts, charges; the budget may have no room for each.
    fn native(&mut self, space: &CSpace) {
        let ledger = space.ledger();
        if self.charges.len() >= CHARGES_MAX {
            self.charges.clear();
        }
        let charge = ledger.try_charge(Category::External, self.below(100_000));
        self.charges.extend(charge);
        let (len, fill) = (1 + self.below(20_000), self.random.below(256) as u8);
        space.exclusive(|cx| {
            let segment = AutoArena::new(cx).and_then(|arena| arena.allocate(cx, len, 8));
            if let Ok(segment) = segment {
                assert_eq!(segment.len(), len);
            }
        });
        let arena = SharedArena::new(&ledger).ok();
        if let Some(mut segment) = arena.and_then(|arena| arena.allocate(len, 16).ok()) {
            let mut bytes = segment.acquire_mut().expect("nobody else has it");
            assert!(bytes.iter().all(|byte| *byte == 0), "new memory is not zero");
            bytes.fill(fill);
        }
        let Ok(builder) = ConfigBuilder::new(&ledger) else { return };
        let config = builder.freeze();
        if let Ok(mut context) = Context::new(&config) {
            if let Ok(handle) = context.alloc_span::<u8>(len) {
                context.get_mut(handle).expect("its own").fill(fill);
                assert_eq!(context.get(handle).expect("its own")[len - 1], fill);
            }
        }
    }

    /// A space for one request, which goes into one that stays.
    fn request(&mut self, target: &CSpace) {
        let world = self.world;
        let builder = CSpace::builder().name("request").max_heap_bytes(8 << 20);
        let builder = match self.below(3) {
            0 => builder.gc(GcMode::Manual),
            1 => builder.gc(GcMode::Safepoints),
            _ => builder.gc_pool(&world.pool),
        };
        let request = builder.build().expect("the system gives memory");
        request.exclusive(|cx| (0..20).for_each(|_| self.grow(cx)));
        if self.below(3) == 0 {
            let _ = request.synchronous_gc();
        }
        match target.transfer_from(&request) {
            Ok(_) => _ = world.counts.merges.fetch_add(1, Relaxed),
            // No room: the request's objects go with its space.
            Err(_) => _ = world.counts.refused.fetch_add(1, Relaxed),
        }
    }

    fn hand_over(&mut self) {
        let mut lot = self.world.lot();
        if lot.len() < LOT_MAX {
            lot.extend(self.roots.last().cloned());
        } else {
            let root = lot.swap_remove(self.random.below(LOT_MAX as u64) as usize);
            drop(lot);
            self.roots.push(root);
        }
    }

    fn lock_all(&mut self) {
        let modes = [LockMode::Shared, LockMode::Exclusive, LockMode::Transaction];
        let wanted: Vec<_> =
            self.world.spaces.iter().map(|space| (space, modes[self.below(3)])).collect();
        CSpace::lock_multiple(wanted).map(drop).expect("nobody panics");
    }

    fn set(&mut self, space: &CSpace) {
        match self.below(9) {
            0 => space.set_gc_period(Duration::from_millis(1)),
            1 => space.set_gc_period(None),
            2 => space.set_gc_period(Duration::from_millis(50)),
            3 => space.set_eviction_threshold([0, 100_000, 4 << 20][self.below(3)]),
            4 => space.set_max_evictable_objects([10, 1000][self.below(2)]),
            5 => space.ledger().set_soft_limit([None, Some(4 << 20)][self.below(2)]),
            6 => space
                .ledger()
                .set_limit(Some([256 << 10, 4 << 20, super::BYTES_MAX][self.below(3)])),
            7 => space.request_gc(),
            _ => drop(space.try_evict(self.below(100_000))),
        }
    }
}

/// Looks at everything that a node refers to.
fn check<'gc>(cx: &(impl Access<'gc> + CellAccess<'gc>), node: &Node<'gc>) {
    node.check();
    let strong = node.slot.get(cx).into_iter().chain(node.bits.get(cx).downcast::<Node<'gc>>());
    strong.for_each(|other| other.check());
    node.bag.borrow(cx).iter().for_each(|other| other.check());
    if let Some(weak) = node.weak.get(cx).and_then(|weak| weak.upgrade(cx)) {
        weak.check();
        let names = node.names.borrow(cx);
        assert!(names.find(weak.id, |found| found.id == weak.id).is_some(), "a name is lost");
    }
    if let Some(soft) = node.soft.get(cx).and_then(|soft| soft.peek(cx)) {
        soft.check();
    }
    for (key, value) in node.map.borrow(cx).iter(cx) {
        key.check();
        value.check();
    }
    if let Some(other) = node.kept.borrow(cx).get(cx, &0) {
        other.check();
    }
    if let Some(buffer) = node.buffer.get(cx) {
        let bytes = buffer.bytes(cx).expect("nobody frees it");
        assert!(bytes.iter().all(|byte| *byte == node.id as u8), "a buffer has other bytes");
    }
}
