//! Marks with little memory, and with memory that is refused at any place.

use std::sync::Arc;
use std::time::Duration;

use crate::collector::{Candidate, EvictionPolicy, ForCollectors, LockWait, MarkPhase, Residents};
use crate::list::refusal::{self, Refusal};
use crate::*;

fn begin(space: &Space) -> Result<MarkPhase, CollectError> {
    MarkPhase::begin(space.try_claim_cycle().expect("no cycle is under way"), LockWait::FOREVER)
}

/// A full cycle. `late` is called when all is marked, before the finish.
fn collect(space: &Space, late: impl FnOnce()) -> Result<CollectReport, CollectError> {
    let mut phase = begin(space)?;
    phase.mark()?;
    late();
    let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
    let (batch, report) = finish.condemn()?;
    Ok(batch.complete(report).ok().expect("this thread holds nothing"))
}

#[track_caller]
fn assert_clean(space: &Space) {
    let verified = space.verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
}

#[derive(IObject)]
#[cspace(crate = crate)]
struct Node<'gc> {
    next: Slot<'gc, Option<GcAny<'gc>>>,
    name: GcCell<'gc, Vec<Gc<'gc, u64>>>,
}

/// More objects than a stack holds under stress, by much.
const WIDTH: usize = if cfg!(miri) { 100 } else { 5000 };
/// By some.
const SOME: usize = 1000;

/// Two to the 32 bytes that a bit of what waits stands for.
type Small<'gc> = Slot<'gc, Option<GcAny<'gc>>>;

/// An object with many edges to objects of all sizes with an edge each, and how many objects that makes.
fn bush<'gc>(cx: &Exclusive<'gc>, width: usize) -> (Gc<'gc, Slice<GcAny<'gc>>>, usize) {
    // Of several pages, and of more than a chunk.
    let [large, huge] = if cfg!(miri) { [100, 1000] } else { [2000, 700_000] };
    let bush = cx.alloc_tail((), width, |i| {
        let leaf = cx.alloc(i as u64);
        let next = Slot::new(Some(leaf.into()));
        match i % 64 {
            0 => cx.alloc_tail(next, large, |_| 0u64).into(),
            1 if i < 64 => cx.alloc_tail(next, huge, |_| 0u64).into(),
            2..=30 => cx.alloc::<Small<'gc>>(next).into(),
            _ => cx.alloc(Node { next, name: GcCell::new(vec![leaf]) }).into(),
        }
    });
    (bush, 1 + 2 * width)
}

fn stress() -> Space {
    let builder = Space::builder().stress(true).minor_collections(false).poison_freed(true);
    builder.build().unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of objects, collected thrice")]
fn what_does_not_fit_onto_the_stack_waits_and_is_traced() {
    let space = stress();
    let (root, count) = space.exclusive(|cx| {
        let (bush, count) = bush(cx, WIDTH);
        (cx.root(bush), count)
    });
    for _ in 0..2 {
        let report = collect(&space, || ()).unwrap();
        assert_eq!((report.objects_live, report.objects_reclaimed), (count, 0));
        assert!(!report.is_short_of_memory, "a limit is no want of memory");
        assert_clean(&space);
    }
    drop(root);
    assert_eq!(collect(&space, || ()).unwrap().objects_reclaimed, count);
}

#[test]
fn more_waits_than_is_on_the_stack() {
    let space = stress();
    let root = space.exclusive(|cx| cx.root(bush(cx, WIDTH).0));
    let _phase = begin(&space).unwrap();
    let mut visitor = Visitor::marking();
    assert!(visitor.begin(true));
    // SAFETY: the phase holds the space; what roots name are objects.
    unsafe {
        space
            .inner
            .handles()
            .roots
            .lock()
            .snapshot()
            .unwrap()
            .for_each(|root| visitor.edge_any(root));
        visitor.drain();
    }
    let waited = visitor.stack.waited();
    assert!(waited > if cfg!(miri) { WIDTH / 4 } else { WIDTH / 5 * 4 }, "{waited}");
    assert!(!visitor.has_gray());
    drop(root);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of objects, collected twice")]
fn what_waits_is_gray_between_increments_and_forgotten_with_its_mark() {
    for ends in [false, true] {
        let space = stress();
        collect(&space, || ()).unwrap();
        let (root, count) = space.exclusive(|cx| {
            let (bush, count) = bush(cx, SOME);
            (cx.root(bush), count)
        });
        let mut increments = 0;
        loop {
            match begin(&space).unwrap().try_increment().unwrap() {
                None => increments += 1,
                Some(phase) if ends => {
                    drop(phase);
                    break;
                }
                Some(mut phase) => {
                    phase.mark_as(collector::Extent::MinorWillDo).unwrap();
                    let finish = phase.try_finish(Duration::from_secs(60)).ok().unwrap();
                    let (batch, report) = finish.condemn().unwrap();
                    assert!(batch.reclaim().is_ok());
                    assert_eq!((report.increments, report.objects_live), (increments, count));
                    break;
                }
            }
            assert_clean(&space);
        }
        assert!(increments > 1, "{increments}");
        assert_eq!(collect(&space, || ()).unwrap().objects_live, count);
        assert_clean(&space);
        drop(root);
        assert_eq!(collect(&space, || ()).unwrap().objects_live, 0);
    }
}

/// Lets go of every other candidate.
struct Half;

impl EvictionPolicy for Half {
    fn is_over(&self, residents: &Residents) -> bool {
        residents.candidates.count > 0 && residents.evicted.count == 0
    }
    fn choose(&self, _: &Residents, candidates: &mut [Candidate]) -> usize {
        candidates.len() / 2
    }
}

#[derive(IObject)]
#[cspace(crate = crate)]
struct Machine<'gc> {
    stack: RootStack<NanBox<'gc>>,
    /// Small objects, two of which share a bit.
    boxed: Vec<Gc<'gc, Box<WeakSet<'gc, u64>>>>,
    names: WeakSet<'gc, u64>,
    weaks: Vec<GcWeak<'gc, u64>>,
    evictables: Vec<Evictable<'gc, Vec<u64>>>,
    notes: EphemeronMap<'gc, GcAny<'gc>, Gc<'gc, u64>>,
    keys: Vec<GcAny<'gc>>,
    bush: Gc<'gc, Slice<GcAny<'gc>>>,
    deep: Option<Box<Deep<'gc>>>,
}

#[derive(IObject)]
#[cspace(crate = crate)]
struct Deep<'gc> {
    held: Gc<'gc, u64>,
    next: Vec<Deep<'gc>>,
}

const MANY: usize = 40;
/// Values of objects that are reachable, and of those that only weak references have.
const ALIVE: u64 = 1;
const DEAD: u64 = 2;

type Owned = OwnedRoot<Rootable![Machine<'_>]>;

fn machine(space: &Space) -> Owned {
    space.exclusive(|cx| {
        let mut names = WeakSet::new();
        let mut notes = EphemeronMap::new();
        let (mut boxed, mut keys, mut weaks) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..MANY as u64 {
            let (alive, dead) = (cx.alloc(ALIVE), cx.alloc(DEAD));
            keys.push(GcAny::new(alive));
            for object in [alive, dead] {
                names.insert(cx, i, object);
                weaks.push(cx.downgrade(object));
                let mut set = Box::new(WeakSet::new());
                set.insert(cx, i, object);
                boxed.push(cx.alloc(set));
                notes.insert(cx, object.into(), object);
            }
        }
        // A chain: each value is the next key.
        let mut key = cx.alloc(ALIVE);
        keys.push(key.into());
        for _ in 0..MANY {
            let value = cx.alloc(ALIVE);
            notes.insert(cx, key.into(), value);
            key = value;
        }
        let evictables = (0..MANY).map(|i| cx.evictable(cx.alloc(vec![i as u64]))).collect();
        let mut stack = RootStack::new(8, NanBox::NIL);
        stack.push(NanBox::from(cx.alloc(ALIVE)));
        let held = cx.alloc(ALIVE);
        let leaf = || Deep { held, next: Vec::new() };
        // Deep, and wide where what is deeper is left for later.
        let mut deep: Deep<'_> =
            Deep { held, next: (0..MANY).map(|_| Deep { held, next: vec![leaf()] }).collect() };
        for _ in 0..100 {
            deep = Deep { held, next: vec![deep, leaf()] };
        }
        let bush = bush(cx, 3000).0;
        let deep = Some(Box::new(deep));
        let machine = Machine { stack, boxed, names, weaks, evictables, notes, keys, bush, deep };
        cx.own_root(machine)
    })
}

/// Whether everything is as after a collection, or as before.
#[track_caller]
fn assert_state(space: &Space, owned: &Owned, collected: bool) {
    space.exclusive(|cx| {
        let machine = owned.get(cx);
        let is_dead = |value: Option<u64>| value.is_none();
        for (i, weak) in machine.weaks.iter().enumerate() {
            let value = weak.upgrade(cx).map(|object| *object);
            assert_eq!(is_dead(value), collected && i % 2 == 1, "weak {i}");
        }
        for (i, set) in machine.boxed.iter().enumerate() {
            let value = set.find(i as u64 / 2, |_| true).map(|object| *object);
            assert_eq!(is_dead(value), collected && i % 2 == 1, "boxed {i}");
        }
        for i in 0..MANY as u64 {
            let alive = machine.names.find(i, |object| *object == ALIVE);
            let dead = machine.names.find(i, |object| *object == DEAD);
            assert!(alive.is_some());
            assert_eq!(dead.is_none(), collected, "name {i}");
        }
        let notes: Vec<_> = machine.notes.iter(cx).map(|(_, value)| **value).collect();
        let dead = notes.iter().filter(|value| **value == DEAD).count();
        assert_eq!((notes.len() - dead, dead), (2 * MANY, if collected { 0 } else { MANY }));
    });
}

/// What became of a cycle.
#[derive(PartialEq, Eq, Hash, Debug)]
enum Outcome {
    Whole,
    Short,
    GivenUp,
}

/// A cycle while memory is refused, and another one.
fn cycle_while_refused(refusal: Refusal, late_refusal: Refusal) -> (Outcome, usize) {
    let policy: Arc<dyn EvictionPolicy> = Arc::new(Half);
    let space = Space::builder().poison_freed(true).eviction_policy(policy).build().unwrap();
    let owned = machine(&space);
    let before = space.num_objects();
    let mut late = Vec::new();
    let (result, refused) = refusal::during(refusal, || {
        collect(&space, || {
            // A reader makes roots meanwhile, for which there may be no memory either; nothing else refers to these.
            let make = || {
                space.shared(|cx| {
                    for weak in owned.get(cx).weaks.iter().skip(1).step_by(20) {
                        late.push(cx.root(weak.upgrade(cx).unwrap()));
                    }
                });
            };
            let run = || refusal::during(late_refusal, make);
            std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
        })
    });
    assert_clean(&space);
    let outcome = match &result {
        Ok(report) => {
            space.exclusive(|cx| {
                assert!(late.iter().all(|root| *root.get(cx) == DEAD));
                for (i, weak) in owned.get(cx).weaks.iter().enumerate() {
                    let stays = i % 2 == 0 || i % 20 == 1;
                    assert_eq!(weak.upgrade(cx).is_some(), stays, "weak {i}");
                }
            });
            assert!(!late.is_empty());
            if report.is_short_of_memory {
                Outcome::Short
            } else {
                Outcome::Whole
            }
        }
        Err(CollectError::NoMemory { .. }) => {
            assert_eq!(space.num_objects(), before);
            assert_state(&space, &owned, false);
            Outcome::GivenUp
        }
        Err(error) => panic!("{error}"),
    };
    assert!(refused > 0 || outcome == Outcome::Whole);
    drop(late);
    collect(&space, || ()).unwrap();
    assert_state(&space, &owned, true);
    assert_clean(&space);
    drop(owned);
    // What only dropped values refer to goes with the cycle after.
    collect(&space, || ()).unwrap();
    collect(&space, || ()).unwrap();
    assert_eq!(space.num_objects(), 0);
    (outcome, refused)
}

#[test]
#[cfg_attr(miri, ignore = "dozens of cycles")]
fn memory_that_is_refused_at_any_place_costs_time_or_the_cycle_and_nothing_else() {
    for kind in [Refusal::After, Refusal::Once] {
        let mut outcomes = std::collections::HashMap::new();
        for times in 0.. {
            let late = if times % 2 == 0 { Refusal::After(0) } else { Refusal::Past };
            let (outcome, refused) = cycle_while_refused(kind(times), late);
            *outcomes.entry(outcome).or_insert(0) += 1;
            if refused == 0 {
                break;
            }
        }
        assert!(outcomes[&Outcome::GivenUp] > 5 && outcomes[&Outcome::Whole] > 2, "{outcomes:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "40,000 objects")]
fn a_mark_that_is_refused_memory_for_its_stack_goes_on_and_tells() {
    let space = Space::builder().poison_freed(true).build().unwrap();
    let (root, count) = space.exclusive(|cx| {
        let (bush, count) = bush(cx, 20_000);
        (cx.root(bush), count)
    });
    let mut short = 0;
    for times in 0.. {
        let refusal = Refusal::After(times);
        let (result, refused) = refusal::during(refusal, || collect(&space, || ()));
        assert_clean(&space);
        match result {
            Ok(report) => {
                assert_eq!((report.objects_live, report.objects_reclaimed), (count, 0));
                short += u64::from(report.is_short_of_memory);
            }
            Err(CollectError::NoMemory { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if refused == 0 {
            break;
        }
    }
    assert!(short > 2, "{short}");
    assert_eq!(space.stats().cycles_short_of_memory, short);
    drop(root);
    assert_eq!(collect(&space, || ()).unwrap().objects_live, 0);
}

#[test]
fn a_noted_edge_for_which_there_is_no_memory_gives_the_mark_up() {
    let space = stress();
    collect(&space, || ()).unwrap();
    let (root, count) = space.exclusive(|cx| {
        let (bush, count) = bush(cx, if cfg!(miri) { 50 } else { 300 });
        (cx.root(bush), count)
    });
    assert!(begin(&space).unwrap().try_increment().unwrap().is_none());
    space.exclusive(|cx| {
        let bush = root.get(cx);
        let node = bush.elems()[40].downcast::<Node<'_>>().expect("a node");
        let (new, refused) = refusal::during(Refusal::After(0), || {
            let new = cx.alloc(5u64);
            node.next.set(cx, Some(new.into()));
            new
        });
        assert!(refused > 0 && *new == 5);
        assert!(!space.inner.incremental().is_under_way());
    });
    // Its former target is dead, the new one alive.
    assert_eq!(collect(&space, || ()).unwrap().objects_live, count + 1);
    assert_clean(&space);
}
