//! Values that own values to any depth: visited, measured, verified, hooked and dropped on a small stack.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

use cspace::*;

use crate::probe::{manual, on_drop, Drops, OnDrop, Probe};

/// Owners in a value. Their calls would take megabytes; in an interpreter, more than twice as many as visits go by calls.
const DEPTH: usize = if cfg!(miri) { 70 } else { 100_000 };
/// Much less than the least that drop glue takes for that.
const STACK: usize = 384 << 10;

fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK).spawn(f).unwrap();
    thread.join().unwrap();
}

/// What tells that a level was found dead, was hooked and dropped.
#[derive(IObject)]
struct Level<'gc> {
    probe: Static<Probe>,
    #[cspace(on_collect = "count")]
    hooked: Static<Arc<AtomicUsize>>,
    held: Option<Gc<'gc, u64>>,
}

fn count(hooked: &mut Arc<AtomicUsize>) {
    hooked.fetch_add(1, SeqCst);
}

impl PartialEq for Level<'_> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Level<'_> {}
impl PartialOrd for Level<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Level<'_> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
impl Hash for Level<'_> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Makes levels, and knows what became of them.
#[derive(Clone, Default)]
struct Levels {
    drops: Drops,
    hooked: Arc<AtomicUsize>,
}

impl Levels {
    fn level<'gc>(&self, held: Option<Gc<'gc, u64>>) -> Level<'gc> {
        Level { probe: self.drops.probe(), hooked: Static(Arc::clone(&self.hooked)), held }
    }
}

/// The family of a type that owns itself in one way or another.
trait Nest: Rootable {
    fn bottom<'gc>(level: Level<'gc>) -> Self::At<'gc>;
    fn around<'gc>(level: Level<'gc>, inner: Self::At<'gc>) -> Self::At<'gc>;
}

/// A value that is deep; its innermost level holds the object.
fn deep<'gc, N: Nest>(levels: &Levels, held: Gc<'gc, u64>) -> N::At<'gc> {
    let mut value = N::bottom(levels.level(Some(held)));
    for _ in 1..DEPTH {
        value = N::around(levels.level(None), value);
    }
    value
}

/// Every walk, on a small stack, of a value of this kind.
fn walks<N: Nest>() {
    on_a_small_stack(|| {
        let levels = Levels::default();
        let space = manual();
        let root = space.exclusive(|cx| {
            let held = cx.alloc(7u64);
            cx.root(cx.alloc(deep::<N>(&levels, held)))
        });
        let verified = space.verify().unwrap();
        assert!(verified.is_clean(), "{verified}");
        for _ in 0..2 {
            assert_eq!(
                space.synchronous_gc().unwrap().objects_live,
                2,
                "the object and what it holds"
            );
        }
        let measured = space.exclusive(|cx| {
            let object = root.get(cx);
            cx.evictable(object).size_bytes(cx)
        });
        assert!(measured > DEPTH * size_of::<Level<'_>>(), "{measured} bytes");
        assert_eq!(levels.drops.count(), 0);
        drop(root);
        let report = space.synchronous_gc().unwrap();
        assert_eq!((report.objects_live, report.drop_panics), (0, 0));
        assert_eq!(levels.drops.count(), DEPTH);
        assert_eq!(levels.hooked.load(SeqCst), DEPTH);
    });
    // In an owned root: let go of with the space, and after it.
    on_a_small_stack(|| {
        let levels = Levels::default();
        let space = manual();
        let make = || {
            space.exclusive(|cx| {
                let held = cx.alloc(7u64);
                cx.own_root(deep::<N>(&levels, held))
            })
        };
        let owned = [make(), make()];
        assert_eq!(space.synchronous_gc().unwrap().objects_live, 2);
        drop(space);
        drop(owned);
        assert_eq!(levels.drops.count(), 2 * DEPTH);
    });
}

macro_rules! nests {
    ($($test:ident, $nest:ident, $fields:tt, |$level:ident, $inner:ident| $around:expr, $bottom:expr;)*) => { $(
        #[derive(IObject)]
        struct $nest<'gc> $fields
        impl Nest for Rootable![$nest<'_>] {
            fn bottom<'gc>($level: Level<'gc>) -> $nest<'gc> {
                $bottom
            }
            fn around<'gc>($level: Level<'gc>, $inner: $nest<'gc>) -> $nest<'gc> {
                $around
            }
        }
        #[test]
        fn $test() {
            walks::<Rootable![$nest<'_>]>();
        }
    )* };
}

/// A part of `Mixed`.
type Either<'gc> = Result<Option<Box<Mixed<'gc>>>, u8>;

nests! {
    boxes, Boxes, { level: Level<'gc>, next: Option<Box<Boxes<'gc>>> },
        |level, inner| Boxes { level, next: Some(Box::new(inner)) }, Boxes { level, next: None };
    results_of_boxes_in_tuples_and_arrays, Mixed,
        { level: Level<'gc>, next: ([Either<'gc>; 2], u8) },
        |level, inner| Mixed { level, next: ([Err(1), Ok(Some(Box::new(inner)))], 1) },
        Mixed { level, next: ([Err(1), Ok(None)], 1) };
    cells_of_boxes, Cells, { level: Level<'gc>, next: GcCell<'gc, Option<Box<Cells<'gc>>>> },
        |level, inner| Cells { level, next: GcCell::new(Some(Box::new(inner))) },
        Cells { level, next: GcCell::new(None) };
    vectors, Vectors, { level: Level<'gc>, next: Vec<Vectors<'gc>> },
        |level, inner| Vectors { level, next: vec![inner] }, Vectors { level, next: Vec::new() };
    slices, Slices, { level: Level<'gc>, next: Box<[Slices<'gc>]> },
        |level, inner| Slices { level, next: Box::new([inner]) }, Slices { level, next: Box::new([]) };
    deques, Deques, { level: Level<'gc>, next: VecDeque<Deques<'gc>> },
        |level, inner| Deques { level, next: [inner].into() },
        Deques { level, next: VecDeque::new() };
    hash_maps, HashMaps, { level: Level<'gc>, next: HashMap<u8, HashMaps<'gc>> },
        |level, inner| HashMaps { level, next: [(1, inner)].into() },
        HashMaps { level, next: HashMap::new() };
    btree_maps, BTreeMaps, { level: Level<'gc>, next: BTreeMap<u8, BTreeMaps<'gc>> },
        |level, inner| BTreeMaps { level, next: [(1, inner)].into() },
        BTreeMaps { level, next: BTreeMap::new() };
}

macro_rules! compared {
    ($($nest:ident),*) => { $(
        impl PartialEq for $nest<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.level == other.level
            }
        }
        impl Eq for $nest<'_> {}
        impl PartialOrd for $nest<'_> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $nest<'_> {
            fn cmp(&self, other: &Self) -> Ordering {
                self.level.cmp(&other.level)
            }
        }
        impl Hash for $nest<'_> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.level.hash(state);
            }
        }
    )* };
}
compared!(HashSets, BTreeSets, Heaps, Keys);

// Parts that hooks can only see when they are taken out.
nests! {
    hash_sets, HashSets, { level: Level<'gc>, next: HashSet<HashSets<'gc>> },
        |level, inner| HashSets { level, next: [inner].into() },
        HashSets { level, next: HashSet::new() };
    btree_sets, BTreeSets, { level: Level<'gc>, next: BTreeSet<BTreeSets<'gc>> },
        |level, inner| BTreeSets { level, next: [inner].into() },
        BTreeSets { level, next: BTreeSet::new() };
    heaps, Heaps, { level: Level<'gc>, next: BinaryHeap<Heaps<'gc>> },
        |level, inner| Heaps { level, next: [inner].into() },
        Heaps { level, next: BinaryHeap::new() };
    keys, Keys, { level: Level<'gc>, next: HashMap<Keys<'gc>, Vec<u8>> },
        |level, inner| Keys { level, next: [(inner, vec![1])].into() },
        Keys { level, next: HashMap::new() };
}

#[derive(IObject)]
struct WeakKeys<'gc> {
    next: Option<Box<WeakValueMap<'gc, u8, u64>>>,
    level: Level<'gc>,
    more: Vec<WeakKeys<'gc>>,
}

#[test]
fn tails_whose_elements_are_deep() {
    on_a_small_stack(|| {
        let levels = Levels::default();
        let space = manual();
        let root = space.exclusive(|cx| {
            let held = cx.alloc(7u64);
            let deep = |_| deep::<Rootable![Boxes<'_>]>(&levels, held);
            cx.root(cx.alloc_tail(deep(0), 2, deep))
        });
        assert_eq!(space.synchronous_gc().unwrap().objects_live, 2);
        drop(root);
        space.synchronous_gc().unwrap();
        assert_eq!(levels.drops.count(), 3 * DEPTH);
        assert_eq!(levels.hooked.load(SeqCst), 3 * DEPTH);
    });
}

#[test]
fn weak_value_maps_in_what_is_deep() {
    on_a_small_stack(|| {
        let levels = Levels::default();
        let space = manual();
        let root = space.exclusive(|cx| {
            let mut value = WeakKeys { next: None, level: levels.level(None), more: Vec::new() };
            for _ in 1..DEPTH {
                let next = Some(Box::new(WeakValueMap::new()));
                value = WeakKeys { next, level: levels.level(None), more: vec![value] };
            }
            cx.root(cx.alloc(value))
        });
        assert_eq!(space.synchronous_gc().unwrap().objects_live, 1);
        drop(root);
        space.synchronous_gc().unwrap();
        assert_eq!(levels.drops.count(), DEPTH);
    });
}

#[derive(IObject)]
struct Notes<'gc> {
    level: Level<'gc>,
    about: Option<EphemeronMap<'gc, Gc<'gc, u64>, Box<Notes<'gc>>>>,
}

#[test]
fn ephemeron_maps_whose_values_are_deep() {
    on_a_small_stack(|| {
        let levels = Levels::default();
        let space = manual();
        let root = space.exclusive(|cx| {
            let key = cx.alloc(7u64);
            let mut value = Notes { level: levels.level(Some(key)), about: None };
            for _ in 1..DEPTH {
                let mut map = EphemeronMap::new();
                map.insert(cx, key, Box::new(value));
                value = Notes { level: levels.level(None), about: Some(map) };
            }
            cx.root(cx.alloc((key, value)))
        });
        let verified = space.verify().unwrap();
        assert!(verified.is_clean(), "{verified}");
        assert_eq!(space.synchronous_gc().unwrap().objects_live, 2);
        drop(root);
        space.synchronous_gc().unwrap();
        assert_eq!(levels.drops.count(), DEPTH);
    });
}

#[test]
fn a_dead_entry_whose_value_is_deep_is_purged() {
    on_a_small_stack(|| {
        let levels = Levels::default();
        let space = manual();
        type Map<'gc> = EphemeronMap<'gc, Gc<'gc, u64>, Boxes<'gc>>;
        let mut map: OwnedRoot<Rootable![Map<'_>]> = space.exclusive(|cx| {
            let mut map = Map::new();
            let held = cx.alloc(7u64);
            map.insert(cx, cx.alloc(8), deep::<Rootable![Boxes<'_>]>(&levels, held));
            cx.own_root(map)
        });
        space.synchronous_gc().unwrap();
        assert_eq!(levels.drops.count(), 0);
        assert_eq!(space.exclusive(|cx| map.get_mut(cx).purge(cx)), 1);
        assert_eq!(levels.drops.count(), DEPTH);
    });
}

#[test]
fn an_owned_root_that_is_deep_is_visited_and_dropped() {
    for order in 0..3 {
        on_a_small_stack(move || {
            let levels = Levels::default();
            let space = manual();
            let owned: OwnedRoot<Rootable![Boxes<'_>]> = space.exclusive(|cx| {
                let held = cx.alloc(7u64);
                cx.own_root(deep::<Rootable![Boxes<'_>]>(&levels, held))
            });
            assert_eq!(space.synchronous_gc().unwrap().objects_live, 1);
            let verified = space.verify().unwrap();
            assert!(verified.is_clean(), "{verified}");
            match order {
                0 => {
                    drop(owned);
                    space.synchronous_gc().unwrap();
                }
                1 => {
                    drop(space);
                    drop(owned);
                }
                _ => {
                    drop(owned);
                    drop(space);
                }
            }
            assert_eq!(levels.drops.count(), DEPTH);
        });
    }
}

#[derive(IObject)]
struct Link<'gc> {
    before: Static<OnDrop>,
    next: Option<Box<Link<'gc>>>,
    after: Static<Probe>,
    #[cspace(skip)]
    skipped: Option<Arc<()>>,
    held: Option<Gc<'gc, u64>>,
}

#[test]
fn a_drop_that_panics_in_what_is_deep_leaves_the_rest_alone() {
    on_a_small_stack(|| {
        let (drops, skipped) = (Drops::new(), Arc::new(()));
        let space = manual();
        let root = space.exclusive(|cx| {
            let held = cx.alloc(7u64);
            let mut next = None;
            for level in 0..DEPTH {
                next = Some(Box::new(Link {
                    before: on_drop(move || {
                        assert!(level % (DEPTH / 2) != 1, "badly dropped {level}")
                    }),
                    next,
                    after: drops.probe(),
                    skipped: Some(Arc::clone(&skipped)),
                    held: Some(held),
                }));
            }
            cx.root(cx.alloc(next))
        });
        space.synchronous_gc().unwrap();
        drop(root);
        let report = space.synchronous_gc().unwrap();
        // Two do; whoever is first is heard.
        assert_eq!((report.drop_panics, report.objects_live), (1, 0));
        assert_eq!(drops.count(), DEPTH);
        assert_eq!(Arc::strong_count(&skipped), 1);
    });
}

#[test]
fn the_worker_visits_and_drops_what_is_deep() {
    let levels = Levels::default();
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let held = cx.alloc(7u64);
        cx.root(cx.alloc(deep::<Rootable![Boxes<'_>]>(&levels, held)))
    });
    let collect = |after| {
        space.request_gc();
        space.wait_for_gc_after(after, std::time::Duration::from_secs(60)).unwrap()
    };
    let cycle = collect(0);
    assert_eq!(levels.drops.count(), 0);
    drop(root);
    collect(cycle);
    space.synchronous_gc().unwrap();
    assert_eq!(levels.drops.count(), DEPTH);
}

/// A list of a smart pointer's own.
struct ByHand<'gc> {
    next: Option<Pointer<ByHand<'gc>>>,
    held: Option<Gc<'gc, u64>>,
}

struct Pointer<T>(Box<T>);

struct ByHandFamily;
impl Rootable for ByHandFamily {
    type At<'gc> = ByHand<'gc>;
}
// SAFETY: all is visited, and nothing has a drop but what frees the list.
unsafe impl<'gc> IObject<'gc> for ByHand<'gc> {
    type R = ByHandFamily;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        if let Some(next) = &self.next {
            visitor.visit_owned(&*next.0);
        }
        self.held.visit_objects(visitor);
    }
}

impl Drop for ByHand<'_> {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut link) = next {
            next = link.0.next.take();
        }
    }
}

#[test]
fn an_implementation_by_hand_visits_what_is_deep() {
    on_a_small_stack(|| {
        let space = manual();
        let root = space.exclusive(|cx| {
            let mut value = ByHand { next: None, held: Some(cx.alloc(7u64)) };
            for _ in 1..DEPTH {
                value = ByHand { next: Some(Pointer(Box::new(value))), held: None };
            }
            cx.root(cx.alloc(value))
        });
        assert_eq!(space.synchronous_gc().unwrap().objects_live, 2);
        drop(root);
        assert_eq!(space.synchronous_gc().unwrap().objects_reclaimed, 2);
    });
}
