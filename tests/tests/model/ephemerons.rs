//! Do random graphs with ephemeron maps agree with a naive fixpoint?
//!
//! A program is small: a few nodes and maps, which refer to each other and to themselves, mostly by way of entries.
//! What is alive the model finds out by going over everything until nothing changes. In some cycles a reader roots,
//! by a weak reference, what may be reached by nothing else, during the mark or where only the finish sees it; some
//! are given up.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::{
    CSpace, EphemeronMap, Exclusive, Gc, GcAny, GcCell, GcMode, GcRoot, IObject, OwnedRoot,
    Rootable, Slot, Static, WeakRoot,
};

use crate::rng::{self, Rng};
use crate::tracker::{DropLog, Tracker};

const PROGRAMS: u64 = 10_000;
const NODES_MAX: usize = 24;

/// A node with edges and, if it likes, entries.
#[derive(IObject)]
struct Node<'gc> {
    number: usize,
    tracker: Static<Tracker>,
    edge: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    map: GcCell<'gc, Map<'gc>>,
}

/// Values that are handles, and values that own something.
#[derive(IObject)]
enum Value<'gc> {
    Node(Gc<'gc, Node<'gc>>),
    Any(GcAny<'gc>),
    Many(Vec<Gc<'gc, Node<'gc>>>),
}

type Map<'gc> = EphemeronMap<'gc, Gc<'gc, Node<'gc>>, Value<'gc>>;
type NodeRoot = GcRoot<Rootable![Node<'_>]>;

fn value_nodes<'gc>(value: &Value<'gc>) -> Vec<usize> {
    match value {
        Value::Node(node) => vec![node.number],
        Value::Any(any) => vec![any.downcast::<Node<'gc>>().expect("a node").number],
        Value::Many(nodes) => nodes.iter().map(|node| node.number).collect(),
    }
}

/// What the model knows of a node. Its numbers are never used again.
#[derive(Default)]
struct ModelNode {
    edge: Option<usize>,
    entries: BTreeMap<usize, Vec<usize>>,
}

struct World {
    space: CSpace,
    log: std::sync::Arc<DropLog>,
    /// Made so far, the dead included.
    nodes: Vec<ModelNode>,
    alive: Vec<bool>,
    weak: Vec<WeakRoot<Rootable![Node<'_>]>>,
    roots: BTreeMap<usize, NodeRoot>,
    /// A map outside of the heap, and what the model knows of it.
    owned: OwnedRoot<Rootable![Map<'_>]>,
    owned_entries: BTreeMap<usize, Vec<usize>>,
}

impl World {
    fn new() -> World {
        let space = CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap();
        let owned = space.exclusive(|cx| cx.own_root(Map::new()));
        World {
            space,
            log: DropLog::new(4096),
            nodes: Vec::new(),
            alive: Vec::new(),
            weak: Vec::new(),
            roots: BTreeMap::new(),
            owned,
            owned_entries: BTreeMap::new(),
        }
    }

    /// What the naive fixpoint reaches from the roots.
    fn reached(&self) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        self.roots.keys().for_each(|root| reached[*root] = true);
        loop {
            let before = reached.clone();
            for (number, node) in self.nodes.iter().enumerate() {
                if reached[number] {
                    node.edge.iter().for_each(|target| reached[*target] = true);
                    reach_entries(&node.entries, &mut reached);
                }
            }
            reach_entries(&self.owned_entries, &mut reached);
            if before == reached {
                return reached;
            }
        }
    }

    /// Changes the graph at random.
    fn mutate(&mut self, rng: &mut Rng) {
        let World { space, log, nodes, alive, weak, roots, owned, owned_entries } = self;
        space.exclusive(|cx| {
            // Nodes that may be used: those that no collection found dead, reachable or not.
            let mut usable: Vec<_> = weak
                .iter()
                .enumerate()
                .filter_map(|(number, weak)| Some((number, weak.upgrade(cx)?)))
                .collect();
            assert!(usable.iter().all(|(number, node)| alive[*number] && node.number == *number));
            for _ in 0..rng.below(2 * NODES_MAX) {
                if usable.is_empty() || (usable.len() < NODES_MAX && rng.one_in(3)) {
                    let number = nodes.len();
                    let node = cx.alloc(Node {
                        number,
                        tracker: Static(log.tracker()),
                        edge: Slot::new(None),
                        map: GcCell::new(Map::new()),
                    });
                    nodes.push(ModelNode::default());
                    alive.push(true);
                    weak.push(cx.weak_root(node));
                    usable.push((number, node));
                    continue;
                }
                let mut choose = || usable[rng.below(usable.len())];
                let ((from, object), (key, key_object)) = (choose(), choose());
                let targets: Vec<_> = (0..3).map(|_| choose()).collect();
                let insert_into_owned = rng.one_in(4);
                match rng.below(16) {
                    0 => _ = roots.insert(from, cx.root(object)),
                    1..=2 => _ = roots.remove(&from),
                    3 => {
                        object.edge.set(cx, Some(key_object));
                        nodes[from].edge = Some(key);
                    }
                    4 => {
                        object.edge.set(cx, None);
                        nodes[from].edge = None;
                    }
                    5 => {
                        let old = remove(cx, object, key_object);
                        assert_eq!(old, nodes[from].entries.remove(&key));
                    }
                    6 => {
                        let (alloc, cells) = cx.split();
                        object.map.borrow_mut(cells).purge(alloc);
                    }
                    kind => {
                        let (value, expected) = match kind % 3 {
                            0 => (Value::Node(targets[0].1), vec![targets[0].0]),
                            1 => (Value::Any(targets[0].1.into()), vec![targets[0].0]),
                            _ => (
                                Value::Many(targets.iter().map(|target| target.1).collect()),
                                targets.iter().map(|target| target.0).collect(),
                            ),
                        };
                        let (old, model) = if insert_into_owned {
                            (owned.get_mut(cx).insert(cx, key_object, value), &mut *owned_entries)
                        } else {
                            let (alloc, cells) = cx.split();
                            let map = object.map.borrow_mut(cells);
                            (map.insert(alloc, key_object, value), &mut nodes[from].entries)
                        };
                        let old = old.map(|value| value_nodes(&value));
                        assert_eq!(old, model.insert(key, expected));
                    }
                }
            }
        });
    }

    /// A cycle in which a reader roots something at each stage, by chance; and which may be given up.
    fn collect(&mut self, rng: &mut Rng) -> Result<(), String> {
        let claim = self.space.try_claim_cycle().ok_or("a cycle is under way")?;
        let mut phase =
            MarkPhase::begin(claim, LockWait::FOREVER).map_err(|error| error.to_string())?;
        if rng.one_in(16) {
            return Ok(());
        }
        phase.mark().map_err(|error| error.to_string())?;
        if rng.one_in(16) {
            return Ok(());
        }
        self.root_late(rng);
        phase.drain_late().map_err(|error| error.to_string())?;
        self.root_late(rng);
        let phase = phase.try_finish(Duration::from_secs(60)).ok().ok_or("nobody is inside")?;
        if rng.one_in(16) {
            return Ok(());
        }
        let (batch, _) = phase.condemn().map_err(|error| error.to_string())?;
        let reached = self.reached();
        self.alive.iter_mut().zip(&reached).for_each(|(alive, reached)| *alive &= reached);
        let alive = self.alive.clone();
        for node in &mut self.nodes {
            node.entries.retain(|key, _| alive[*key]);
        }
        self.owned_entries.retain(|key, _| alive[*key]);
        if rng.one_in(2) {
            // While what is dead was not swept.
            self.compare(false)?;
            self.mutate(rng);
        }
        batch.reclaim().map_err(|_| "this thread holds nothing".to_string())?;
        Ok(())
    }

    /// A reader on another thread roots a node that may be reached by nothing else.
    fn root_late(&mut self, rng: &mut Rng) {
        if self.weak.is_empty() || rng.one_in(3) {
            return;
        }
        let number = rng.below(self.weak.len());
        let (space, weak) = (&self.space, &self.weak[number]);
        let read = || space.shared(|cx| weak.upgrade(cx).map(|node| cx.root(node)));
        let root = std::thread::scope(|threads| threads.spawn(read).join().unwrap());
        assert_eq!(root.is_some(), self.alive[number]);
        self.roots.extend(root.map(|root| (number, root)));
    }

    /// What is alive, what each map shows, and what was dropped.
    fn compare(&self, is_swept: bool) -> Result<(), String> {
        self.space.shared(|cx| {
            for (number, weak) in self.weak.iter().enumerate() {
                let Some(node) = weak.upgrade(cx) else {
                    if self.alive[number] {
                        return Err(format!("node {number} is gone"));
                    }
                    let drops = self.log.drops_of(number as u32);
                    if is_swept && drops != 1 {
                        return Err(format!("dead node {number} was dropped {drops} times"));
                    }
                    continue;
                };
                if !self.alive[number] || !node.tracker.is_whole() {
                    return Err(format!("node {number} should be dead"));
                }
                let model = &self.nodes[number];
                let edge = node.edge.get(cx).map(|target| target.number);
                let entries = shown(cx, node.map.borrow(cx));
                if (edge, &entries) != (model.edge, &model.entries) {
                    return Err(format!("node {number}: {entries:?}, not {:?}", model.entries));
                }
            }
            let entries = shown(cx, self.owned.get(cx));
            if entries != self.owned_entries {
                return Err(format!("outside: {entries:?}, not {:?}", self.owned_entries));
            }
            Ok(())
        })
    }
}

fn reach_entries(entries: &BTreeMap<usize, Vec<usize>>, reached: &mut [bool]) {
    for (key, targets) in entries {
        if reached[*key] {
            targets.iter().for_each(|target| reached[*target] = true);
        }
    }
}

fn remove<'gc>(
    cx: &mut Exclusive<'gc>,
    object: Gc<'gc, Node<'gc>>,
    key: Gc<'gc, Node<'gc>>,
) -> Option<Vec<usize>> {
    let (alloc, cells) = cx.split();
    let old = object.map.borrow_mut(cells).remove(alloc, key);
    old.map(|value| value_nodes(&value))
}

/// What a map shows, by iteration and by look-up.
fn shown<'gc>(cx: &cspace::Shared<'gc>, map: &Map<'gc>) -> BTreeMap<usize, Vec<usize>> {
    let shown: BTreeMap<_, _> =
        map.iter(cx).map(|(key, value)| (key.number, value_nodes(value))).collect();
    for (key, value) in map.iter(cx) {
        assert!(map.contains(cx, key) && map.get(cx, key).is_some_and(|v| std::ptr::eq(v, value)));
    }
    shown
}

pub fn run(mut rng: Rng) -> Result<(), String> {
    let mut world = World::new();
    for step in 0..2 + rng.below(8) {
        world.mutate(&mut rng);
        let at_step = |error| format!("step {step}: {error}");
        world.collect(&mut rng).map_err(at_step)?;
        world.compare(true).map_err(at_step)?;
        if rng.one_in(4) {
            let report = world.space.verify().map_err(|error| error.to_string())?;
            if !report.is_clean() {
                return Err(format!("step {step}: {report}"));
            }
        }
    }
    let World { space, log, roots, owned, weak, .. } = world;
    drop((roots, owned, weak, space));
    log.not_once().map_or(Ok(()), |(node, drops)| {
        Err(format!("in the end node {node} was dropped {drops} times"))
    })
}

#[test]
fn random_ephemerons_agree_with_a_naive_fixpoint() {
    let first = rng::from_env("CSPACE_MODEL_SEED").unwrap_or(1);
    let count = rng::from_env("CSPACE_MODEL_PROGRAMS").unwrap_or(PROGRAMS);
    // Past the test harness, which shows what it captured only if the process lives.
    let _ =
        writeln!(std::io::stderr(), "ephemerons: {count} programs from CSPACE_MODEL_SEED={first}");
    for seed in first..first + count {
        if let Err(error) = run(Rng::new(seed)) {
            panic!("program with CSPACE_MODEL_SEED={seed} failed: {error}");
        }
    }
}
