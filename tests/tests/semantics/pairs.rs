//! Two features at a time that have no other test together. CONTRIBUTING.md has the table of all pairs.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cspace::collector::{Extent, LockWait, MarkPhase, Remains};
use cspace::*;

use crate::incremental::{increment, last, manual};
use crate::minor::{full, minor, Hole};
use crate::probe::{Drops, Probe};
use crate::watchdog::{eventually, panic_of, within};

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    held: Hole<'gc>,
    probe: Static<Probe>,
}

type NodeRoot = GcRoot<Rootable![Node<'_>]>;

/// Long enough for some increments under stress.
const LENGTH: usize = 40;

fn list(space: &Space, drops: &Drops) -> NodeRoot {
    space.exclusive(|cx| {
        let mut first = None;
        for _ in 0..LENGTH {
            let held = Slot::new(Some(cx.alloc(drops.probe())));
            let next = Slot::new(first);
            first = Some(cx.alloc(Node { next, held, probe: drops.probe() }));
        }
        cx.root(first.expect("there are some"))
    })
}

fn begin(space: &Space) -> MarkPhase {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    MarkPhase::begin(claim, LockWait::FOREVER).unwrap()
}

/// The rest of a cycle, up to what runs user code.
fn end(mut phase: MarkPhase, extent: Extent) -> (Remains, CollectReport) {
    phase.mark_as(extent).unwrap();
    end_marked(phase)
}

fn end_marked(phase: MarkPhase) -> (Remains, CollectReport) {
    let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
    let (batch, report) = finish.condemn().unwrap();
    (batch.sweep(), report)
}

/// Counts calls.
fn counter() -> (Arc<AtomicUsize>, impl Fn() -> Box<dyn FnOnce() + Send>) {
    let count = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&count);
    let make = move || {
        let calls = Arc::clone(&calls);
        Box::new(move || _ = calls.fetch_add(1, SeqCst)) as Box<dyn FnOnce() + Send>
    };
    (count, make)
}

#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn cleaners_that_come_between_increments_run_once_when_their_objects_have_died() {
    let (space, drops, (count, cleaner)) = (manual(), Drops::new(), counter());
    let list = list(&space, &drops);
    space.exclusive(|cx| _ = cx.register_cleaner(list.get(cx), cleaner()));
    increment(&space);
    let kept = space.exclusive(|cx| {
        cx.register_cleaner(cx.alloc(drops.probe()), cleaner());
        let kept = cx.alloc(drops.probe());
        cx.register_cleaner(kept, cleaner());
        cx.root(kept)
    });
    while space.stats().increments < 4 {
        increment(&space);
    }
    last(&space, 4);
    full(&space);
    assert_eq!(count.load(SeqCst), 1, "the one of what nothing held");
    drop(list);
    full(&space);
    assert_eq!(count.load(SeqCst), 2);
    drop(kept);
    full(&space);
    full(&space);
    assert_eq!(count.load(SeqCst), 3);
}

#[test]
fn minor_cycles_run_the_cleaners_of_the_young_and_leave_those_of_the_old() {
    let (space, drops) = (Space::builder().stress(true).build().unwrap(), Drops::new());
    let ((old_count, old_cleaner), (young_count, young_cleaner)) = (counter(), counter());
    let old = space.exclusive(|cx| {
        let old = cx.alloc(drops.probe());
        cx.register_cleaner(old, old_cleaner());
        cx.root(old)
    });
    full(&space);
    drop(old);
    space.exclusive(|cx| _ = cx.register_cleaner(cx.alloc(drops.probe()), young_cleaner()));
    minor(&space);
    assert_eq!((old_count.load(SeqCst), young_count.load(SeqCst)), (0, 1));
    full(&space);
    assert_eq!((old_count.load(SeqCst), young_count.load(SeqCst)), (1, 1));
}

/// A reader keeps the collection out that would make room: the charge is refused, and the limit holds.
#[test]
fn a_charge_past_the_limit_beside_a_reader_is_refused_and_fits_when_the_garbage_is_gone() {
    const LIMIT: usize = 100_000;
    let space = CSpace::builder().gc(GcMode::Manual).memory_limit(LIMIT).build().unwrap();
    space.exclusive(|cx| (0..500).for_each(|_| _ = cx.alloc([0u64; 16])));
    let ledger = space.ledger();
    let rest = LIMIT - ledger.bytes();
    let charge = ledger.try_charge(Category::External, rest - 1000).unwrap();
    space.shared(|_| {
        assert!(ledger.try_charge(Category::External, 2000).is_err());
        thread::scope(|scope| {
            let others = scope.spawn(|| ledger.try_charge(Category::External, 2000).is_err());
            assert!(others.join().unwrap());
        });
        assert!(ledger.bytes() <= LIMIT);
    });
    space.synchronous_gc().unwrap();
    let more = ledger.try_charge(Category::External, 2000).unwrap();
    assert!(ledger.bytes() <= LIMIT);
    drop((charge, more));
}

/// The dead that wait for their drops take memory: a limit sees them until they are dropped.
#[test]
fn what_waits_for_its_drop_counts_towards_the_limit_until_it_was_dropped() {
    const LIMIT: usize = 256 << 10;
    let space = Space::builder().max_heap_bytes(LIMIT).build().unwrap();
    let drops = Drops::new();
    let fill = |drops: &Drops| {
        space.exclusive(|cx| {
            (0..).find(|_| cx.try_alloc((drops.probe(), [0u64; 62])).is_err()).expect("it is full")
        })
    };
    let made = fill(&drops);
    assert!(made > LIMIT / 1024);
    let (remains, report) = end(begin(&space), Extent::Full);
    // The one that there was no room for.
    assert_eq!((report.objects_live, drops.count()), (0, 1));
    // Reclaimed but for what waits: no more than the limit, and nothing is made where they are.
    assert_eq!(fill(&Drops::new()), 0);
    assert!(space.memory().allocated <= LIMIT);
    remains.run().ok().expect("this thread holds nothing");
    assert_eq!(drops.count(), made + 1);
    assert!(fill(&Drops::new()) > 0);
    assert!(space.memory().allocated <= LIMIT);
}

#[test]
fn a_merge_waits_for_readers_of_both_spaces_or_changes_nothing() {
    let make = || CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let (into, from) = (make(), make());
    let root = from.exclusive(|cx| cx.root(cx.alloc(7u64)));
    for read in [&into, &from] {
        let ((inside, is_inside), (leave, may_leave)) = (channel(), channel::<()>());
        thread::scope(|scope| {
            scope.spawn(move || {
                read.shared(|_| {
                    inside.send(()).unwrap();
                    _ = may_leave.recv();
                });
            });
            is_inside.recv().unwrap();
            assert!(into.try_transfer_from(&from).is_err());
            assert_eq!((from.num_objects(), into.num_objects()), (1, 0));
            from.shared(|cx| assert_eq!(*root.get(cx), 7));
            drop(leave);
        });
    }
    let merging = thread::spawn({
        let (into, from) = (into.clone(), from.clone());
        // A reader that comes later waits, or reads before: both are right.
        move || into.transfer_from(&from).unwrap()
    });
    let seen = into.shared(|cx| root.try_get(cx).ok().map(|value| *value));
    assert!(seen.is_none_or(|value| value == 7));
    assert_eq!(merging.join().unwrap().objects, 1);
    into.shared(|cx| assert_eq!(*root.get(cx), 7));
}

/// Runs `meanwhile` on this thread while another one has shared access, in which it first does `before`, and then, when
/// `meanwhile` is over, `after`.
fn beside_a_reader<A: Send>(
    space: &Space,
    before: impl FnOnce(&Shared<'_>) -> A + Send,
    after: impl FnOnce(&Shared<'_>) + Send,
    meanwhile: impl FnOnce(),
) -> A {
    let ((inside, is_inside), (leave, may_leave)) = (channel(), channel::<()>());
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            space.shared(|cx| {
                let result = before(cx);
                inside.send(()).unwrap();
                _ = may_leave.recv();
                after(cx);
                result
            })
        });
        is_inside.recv().unwrap();
        meanwhile();
        drop(leave);
        reader.join().unwrap()
    })
}

#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn what_readers_root_beside_increments_is_found() {
    let (space, drops) = (manual(), Drops::new());
    let list = list(&space, &drops);
    // Weakly held, at the end of the list: cut off before the mark gets there.
    let weak = space.exclusive(|cx| {
        let end = (1..LENGTH).fold(list.get(cx), |node, _| node.next.get(cx).unwrap());
        cx.weak_root(end)
    });
    increment(&space);
    let mut increments = 1;
    let root = beside_a_reader(
        &space,
        |cx| cx.root(weak.upgrade(cx).expect("no cycle has ended")),
        |cx| assert!(weak.upgrade(cx).is_some()),
        || {
            for _ in 0..2 {
                assert!(begin(&space).try_increment().unwrap().is_none());
                increments += 1;
            }
        },
    );
    space.exclusive(|cx| list.get(cx).next.set(cx, None));
    let phase = loop {
        match begin(&space).try_increment().unwrap() {
            None => increments += 1,
            Some(phase) => break phase,
        }
    };
    let (remains, report) = end(phase, Extent::MinorWillDo);
    assert_eq!(report.increments, increments);
    remains.run().ok().unwrap();
    // The first, what is rooted, what both hold, and the weak reference.
    assert_eq!(full(&space).objects_live, 5);
    space.shared(|cx| assert!(root.get(cx).held.get(cx).is_some()));
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn what_readers_root_beside_a_minor_mark_is_found_young_and_old() {
    let (space, drops) = (Space::builder().stress(true).build().unwrap(), Drops::new());
    let old = space.exclusive(|cx| {
        let old = cx.alloc(drops.probe());
        (cx.root(old), cx.weak_root(old))
    });
    full(&space);
    let young = space.exclusive(|cx| cx.weak_root(cx.alloc(drops.probe())));
    drop(old.0);
    let mut phase = None;
    let roots = beside_a_reader(
        &space,
        |cx| [&old.1, &young].map(|weak| cx.root(weak.upgrade(cx).expect("no cycle has ended"))),
        |_| (),
        || {
            let mut minor = begin(&space);
            minor.mark_as(Extent::MinorWillDo).unwrap();
            phase = Some(minor);
        },
    );
    let (remains, report) = end_marked(phase.unwrap());
    assert!(report.is_minor);
    remains.run().ok().unwrap();
    assert_eq!(drops.count(), 0);
    drop(roots);
    full(&space);
    assert_eq!(drops.count(), 2);
}

/// A panic leaves an exclusive access.
fn poison(space: &Space) {
    panic_of(|| space.exclusive(|_| panic!("in the middle of a change")));
    assert!(space.is_poisoned());
}

#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn a_mark_in_increments_goes_on_though_its_space_is_poisoned_meanwhile() {
    let (space, drops) = (manual(), Drops::new());
    let kept = list(&space, &drops);
    drop(list(&space, &drops));
    increment(&space);
    poison(&space);
    while space.stats().increments < 4 {
        increment(&space);
    }
    assert_eq!(last(&space, 4).objects_live, 2 * LENGTH);
    assert_eq!(drops.count(), 2 * LENGTH);
    space.clear_poison();
    space.exclusive(|cx| assert!(kept.get(cx).next.get(cx).is_some()));
}

#[test]
fn minor_cycles_of_a_poisoned_space_find_what_the_access_that_panicked_has_left() {
    let (space, drops) = (Space::builder().stress(true).build().unwrap(), Drops::new());
    let holder = space.exclusive(|cx| {
        let (next, held) = (Slot::new(None), Slot::new(None));
        cx.root(cx.alloc(Node { next, held, probe: drops.probe() }))
    });
    // Most of what is old does not change.
    let _frozen: Vec<_> =
        (0..30).map(|_| space.exclusive(|cx| cx.root(cx.alloc(drops.probe())))).collect();
    full(&space);
    panic_of(|| {
        space.exclusive(|cx| {
            holder.get(cx).held.set(cx, Some(cx.alloc(drops.probe())));
            cx.alloc(drops.probe());
            panic!("in the middle of a change");
        })
    });
    assert_eq!(minor(&space).objects_reclaimed, 1);
    assert_eq!(drops.count(), 1);
    space.clear_poison();
    space.shared(|cx| assert!(holder.get(cx).held.get(cx).is_some()));
}

#[test]
fn collections_by_time_come_though_the_space_is_poisoned() {
    within(|| {
        let period = Duration::from_millis(1);
        let space = CSpace::builder().gc_period(period).build().unwrap();
        let drops = Drops::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
        poison(&space);
        drop(root);
        eventually(|| drops.count() == 1);
        assert!(space.is_poisoned());
        space.clear_poison();
        assert_eq!(space.num_objects(), 0);
    });
}

/// What died behind a mark that goes by increments is found by the collection that time asks for.
#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn a_collection_by_time_finds_what_died_behind_increments() {
    within(|| {
        let period = Duration::from_millis(1);
        let space = CSpace::builder().gc(GcMode::Manual).stress(true).minor_collections(false);
        let (space, drops) = (space.gc_period(period).build().unwrap(), Drops::new());
        let mut driver = space.gc_driver().unwrap();
        full(&space);
        let list = list(&space, &drops);
        for _ in 0..2 {
            increment(&space);
        }
        // The first of it was marked.
        drop(list);
        while drops.count() < 2 * LENGTH {
            assert!(driver.wait_for_garbage_collect());
            driver.collect();
        }
        assert_eq!(space.num_objects(), 0);
    });
}

/// The remains of one cycle wait while the next goes by increments.
#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn increments_go_on_while_the_dead_of_an_earlier_cycle_wait_for_their_drops() {
    let (space, drops, waiting) = (manual(), Drops::new(), Drops::new());
    // Beside one another, so that the dead wait in spans that have living objects.
    let mut roots = Vec::new();
    for _ in 0..20 {
        space.exclusive(|cx| {
            cx.alloc(waiting.probe());
            roots.push(cx.root(cx.alloc(drops.probe())));
        });
    }
    let (remains, _) = end(begin(&space), Extent::Full);
    assert_eq!(waiting.count(), 0);
    let kept = list(&space, &drops);
    let mut increments = 0;
    let phase = loop {
        match begin(&space).try_increment().unwrap() {
            None => increments += 1,
            Some(phase) => break phase,
        }
    };
    assert!(increments > 0);
    let (others, report) = end(phase, Extent::MinorWillDo);
    assert_eq!(report.increments, increments);
    others.run().ok().unwrap();
    assert_eq!((drops.count(), waiting.count()), (0, 0));
    remains.run().ok().unwrap();
    assert_eq!((drops.count(), waiting.count()), (0, 20));
    assert_eq!(full(&space).objects_live, 20 + 2 * LENGTH);
    assert!(space.verify().unwrap().is_clean());
    drop((kept, roots));
    full(&space);
    assert_eq!((drops.count(), waiting.count()), (20 + 2 * LENGTH, 20));
}
