//! Incremental marks: what changes between two increments is found by the last one, or has been marked by then.

use std::time::Duration;

use cspace::collector::{Extent, ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::collect::PanicsOnVisit;
use crate::minor::{full, Held, Hole};
use crate::probe::{Drops, Probe};

/// A space whose collector is the test, and whose increments are as small as under stress.
pub(crate) fn manual() -> Space {
    let space = Space::builder().stress(true).minor_collections(false).poison_freed(true);
    let space = space.build().unwrap();
    // Nothing is done in increments before something is known.
    full(&space);
    space
}

fn begin(space: &Space) -> MarkPhase {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    MarkPhase::begin(claim, LockWait::FOREVER).unwrap()
}

/// An increment that is due.
#[track_caller]
pub(crate) fn increment(space: &Space) {
    let before = space.stats();
    assert!(begin(space).try_increment().unwrap().is_none(), "an increment is due");
    let after = space.stats();
    assert_eq!(after.increments, before.increments + 1);
    assert_eq!(after.pauses.count(), before.pauses.count() + 1);
    let verified = space.verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
}

/// The cycle that goes on with what increments marked, which no more of them are due for.
#[track_caller]
pub(crate) fn last(space: &Space, increments: usize) -> CollectReport {
    let phase = begin(space).try_increment().unwrap();
    let report = end(space, phase.expect("no increment is due"), Extent::MinorWillDo);
    assert_eq!((report.increments, report.is_minor), (increments, false));
    report
}

fn end(space: &Space, mut phase: MarkPhase, extent: Extent) -> CollectReport {
    phase.mark_as(extent).unwrap();
    let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
    let (batch, report) = finish.condemn().unwrap();
    batch.reclaim().ok().expect("this thread holds nothing");
    let verified = space.verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
    report
}

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    held: Hole<'gc>,
    probe: Static<Probe>,
}

/// A list that takes several increments, and how many objects there are in it.
fn list(space: &Space, drops: &Drops) -> (GcRoot<Rootable![Node<'_>]>, usize) {
    const LENGTH: usize = 40;
    let list = space.exclusive(|cx| {
        let mut first = None;
        for _ in 0..LENGTH {
            let held = Slot::new(Some(cx.alloc(drops.probe())));
            let next = Slot::new(first);
            first = Some(cx.alloc(Node { next, held, probe: drops.probe() }));
        }
        cx.root(first.expect("there are some"))
    });
    (list, 2 * LENGTH)
}

fn at<'gc>(
    cx: &Exclusive<'gc>,
    list: &GcRoot<Rootable![Node<'_>]>,
    n: usize,
) -> Gc<'gc, Node<'gc>> {
    (0..n).fold(list.get(cx), |node, _| node.next.get(cx).expect("the list is longer"))
}

#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn what_is_dead_when_the_mark_begins_goes_and_what_dies_meanwhile_may_wait() {
    let (space, drops) = (manual(), Drops::new());
    let (kept, count) = list(&space, &drops);
    drop(list(&space, &drops));
    increment(&space);
    // The first of the list was marked.
    let rest = space.exclusive(|cx| cx.root(at(cx, &kept, 1)));
    drop(kept);
    while space.stats().increments < 4 {
        increment(&space);
    }
    let report = last(&space, 4);
    assert_eq!((report.objects_live, report.objects_reclaimed), (count, count));
    assert_eq!(drops.count(), count);
    let report = full(&space);
    assert_eq!((report.increments, report.objects_live), (0, count - 2));
    drop(rest);
    assert_eq!(full(&space).objects_live, 0);
}

#[test]
fn a_cycle_ends_when_its_increments_have_left_nothing() {
    let (space, drops) = (manual(), Drops::new());
    let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
    increment(&space);
    assert_eq!(last(&space, 1).objects_live, 1);
    drop(root);
    increment(&space);
    assert_eq!(last(&space, 1).objects_live, 0);
}

#[test]
fn what_moves_from_where_the_mark_has_not_been_to_where_it_has_is_found() {
    let (space, drops) = (manual(), Drops::new());
    let (list, count) = list(&space, &drops);
    increment(&space);
    let moved = space.exclusive(|cx| {
        let (front, back) = (list.get(cx), at(cx, &list, 35));
        // One thing is held where nothing is looked at again, and the list is cut short.
        let moved = back.held.replace(cx, None);
        front.held.set(cx, moved);
        let rest = back.next.replace(cx, None);
        front.next.set(cx, rest);
        cx.weak_root(moved.expect("there was something"))
    });
    for _ in 1..3 {
        increment(&space);
    }
    // After the last of them nothing is gray; what is young is not marked.
    let young = space.exclusive(|cx| {
        let young = cx.alloc(drops.probe());
        at(cx, &list, 2).held.set(cx, Some(young));
        cx.weak_root(young)
    });
    while space.stats().increments < 4 {
        increment(&space);
    }
    let report = last(&space, 4);
    assert!(report.objects_live > 10);
    let alive = |weak: &WeakRoot<_>| space.shared(|cx| weak.upgrade(cx).is_some());
    assert!(alive(&moved) && alive(&young));
    // The first node and the four last, with what they hold, and two weak references.
    assert_eq!(full(&space).objects_live, 2 * 5 + 2);
    assert_eq!(drops.count(), count + 1 - 2 * 5);
    assert!(alive(&moved) && alive(&young));
}

/// A holder that was traced gets something young to hold.
#[track_caller]
pub(crate) fn finds<R: Rootable>(
    make: impl for<'gc> Fn(&mut Exclusive<'gc>) -> Gc<'gc, R::At<'gc>>,
    put: impl for<'gc> Fn(&mut Exclusive<'gc>, Gc<'gc, R::At<'gc>>, Held<'gc>),
) {
    let (space, drops) = (manual(), Drops::new());
    let holder = space.exclusive(|cx| {
        let holder = make(cx);
        cx.root(holder)
    });
    // Nothing is left for the last increment but what it looks at again.
    increment(&space);
    let old = space.num_objects();
    space.exclusive(|cx| {
        let (held, holder) = (cx.alloc(drops.probe()), holder.get(cx));
        put(cx, holder, held);
    });
    let verified = space.verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
    let mut increments = 1;
    let phase = loop {
        match begin(&space).try_increment().unwrap() {
            None => increments += 1,
            Some(phase) => break phase,
        }
    };
    let report = end(&space, phase, Extent::MinorWillDo);
    assert_eq!((report.increments, report.objects_live), (increments, old + 1));
    assert_eq!(drops.count(), 0, "what a traced object was changed to refer to is alive");
    drop(holder);
    assert_eq!((full(&space).objects_live, drops.count()), (0, 1));
}

#[test]
fn roots_owned_values_and_upgraded_weak_references_are_found() {
    let (space, drops) = (manual(), Drops::new());
    let mut owned: OwnedRoot<Rootable![Vec<Held<'_>>]> =
        space.exclusive(|cx| cx.own_root(Vec::<Held<'_>>::new()));
    let (front, _) = list(&space, &drops);
    let weak = space.exclusive(|cx| {
        let weak = cx.downgrade(cx.alloc(drops.probe()));
        cx.own_root(weak)
    });
    increment(&space);
    let root = space.exclusive(|cx| {
        let young = cx.alloc(drops.probe());
        owned.get_mut(cx).push(young);
        let seen = weak.get(cx).upgrade(cx).expect("no cycle has ended");
        front.get(cx).held.set(cx, Some(seen));
        cx.root(cx.alloc(drops.probe()))
    });
    while space.stats().increments < 4 {
        increment(&space);
    }
    last(&space, 4);
    assert_eq!(drops.count(), 0);
    drop(root);
    full(&space);
    assert_eq!(drops.count(), 2, "a root's, and what the first of the list held before");
    assert!(space.shared(|cx| weak.get(cx).upgrade(cx).is_some()));
}

#[derive(IObject)]
struct Everything<'gc> {
    names: GcCell<'gc, WeakSet<'gc, Static<Probe>>>,
    weak: Slot<'gc, Option<GcWeak<'gc, Static<Probe>>>>,
    facts: GcCell<'gc, EphemeronMap<'gc, Held<'gc>, Held<'gc>>>,
    text: String,
}

#[test]
fn weak_references_sets_maps_and_bytes_are_as_one_mark_finds_them() {
    let (space, drops) = (manual(), Drops::new());
    let object = space.exclusive(|cx| {
        let (names, weak) = (GcCell::new(WeakSet::new()), Slot::new(None));
        let (facts, text) = (GcCell::new(EphemeronMap::new()), String::with_capacity(1000));
        let object = cx.alloc(Everything { names, weak, facts, text });
        let (dying, key, value) =
            (cx.alloc(drops.probe()), cx.alloc(drops.probe()), cx.alloc(drops.probe()));
        object.weak.set(cx, Some(cx.downgrade(dying)));
        let (cx, cells) = cx.split();
        object.names.borrow_mut(cells).insert(cx, 1, dying);
        object.facts.borrow_mut(cells).insert(cx, key, value);
        cx.root(object)
    });
    let bytes = full(&space).bytes_external;
    let kept = space.exclusive(|cx| {
        let object = object.get(cx);
        let (key, value, named) =
            (cx.alloc(drops.probe()), cx.alloc(drops.probe()), cx.alloc(drops.probe()));
        let root = cx.root(named);
        let (cx, cells) = cx.split();
        object.names.borrow_mut(cells).insert(cx, 2, named);
        object.facts.borrow_mut(cells).insert(cx, key, value);
        // For as long as the value is there, so is the key: it is what the set names.
        object.facts.borrow_mut(cells).insert(cx, named, value);
        root
    });
    let before = drops.count();
    increment(&space);
    let report = last(&space, 1);
    assert!(report.bytes_external >= bytes && report.bytes_external < 2 * bytes + 1000);
    // The key that nothing keeps is gone.
    assert_eq!(drops.count(), before + 1);
    space.exclusive(|cx| {
        let object = object.get(cx);
        assert!(object.weak.get(cx).expect("it was set").upgrade(cx).is_none());
        assert_eq!(object.facts.borrow(cx).iter(cx).count(), 1);
        assert!(object.facts.borrow(cx).contains(cx, kept.get(cx)));
        assert!(object.text.capacity() >= 1000);
    });
    let found =
        |hash| space.shared(|cx| object.get(cx).names.borrow(cx).find(hash, |_| true).is_some());
    assert_eq!((found(1), found(2)), (false, true));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of thousands of objects")]
fn what_still_waits_to_be_traced_is_traced_once() {
    const MANY: usize = 200;
    let (space, drops) = (manual(), Drops::new());
    let all = space.exclusive(|cx| {
        let all: Gc<'_, Slice<Slot<'_, Option<Gc<'_, Everything<'_>>>>>> =
            cx.alloc_slice(MANY, |_| Slot::new(None));
        for slot in all.elems() {
            let (names, weak) = (GcCell::new(WeakSet::new()), Slot::new(None));
            let (facts, text) = (GcCell::new(EphemeronMap::new()), String::with_capacity(1000));
            slot.set(cx, Some(cx.alloc(Everything { names, weak, facts, text })));
        }
        // So that most is seen by slots, and increments are due.
        let _young = cx.alloc(drops.probe());
        cx.root(all)
    });
    let bytes = full(&space).bytes_external;
    assert!(bytes >= MANY * 1000);
    for _ in 0..4 {
        increment(&space);
    }
    assert_eq!(last(&space, 4).bytes_external, bytes);
    drop(all);
}

#[test]
fn a_cycle_that_is_asked_for_begins_anew() {
    let (space, drops) = (manual(), Drops::new());
    let (list, _) = list(&space, &drops);
    increment(&space);
    drop(list);
    space.request_gc();
    let phase = begin(&space).try_increment().unwrap().expect("somebody asked for a cycle");
    let report = end(&space, phase, Extent::MinorWillDo);
    assert_eq!((report.increments, report.objects_live), (0, 0));
}

#[test]
fn a_mark_under_way_ends_with_the_space_or_a_merge() {
    let (space, other, drops) = (manual(), manual(), Drops::new());
    let (list_here, count) = list(&space, &drops);
    let (list_there, _) = list(&other, &drops);
    increment(&space);
    increment(&other);
    space.transfer_from(&other).unwrap();
    let verified = space.verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
    // Nothing is known of the two together.
    let phase = begin(&space).try_increment().unwrap().expect("nothing is known");
    let report = end(&space, phase, Extent::MinorWillDo);
    assert_eq!((report.increments, report.objects_live), (0, 2 * count));
    drop(list_there);
    increment(&space);
    drop((space, other));
    assert_eq!(drops.count(), 2 * count);
    drop(list_here);
}

#[test]
fn a_visit_that_panics_ends_the_mark_and_nothing_is_lost() {
    let (space, drops) = (manual(), Drops::new());
    let (list, count) = list(&space, &drops);
    let panics = space.exclusive(|cx| cx.root(cx.alloc(PanicsOnVisit::new())));
    assert!(begin(&space).try_increment().is_err());
    let verified = space.verify();
    assert!(verified.is_ok());
    space.exclusive(|cx| panics.get(cx).calm());
    // Nothing is known after that, so the next cycle is a whole one.
    let phase = begin(&space).try_increment().unwrap().expect("nothing is known");
    assert_eq!(end(&space, phase, Extent::MinorWillDo).objects_live, count + 1);
    increment(&space);
    drop(list);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of thousands of objects")]
fn without_incremental_marking_and_beside_evictable_objects_no_increment_is_due() {
    let with = |on: bool, evictable: bool| {
        let space = Space::builder().stress(true).minor_collections(false).incremental_marking(on);
        let space = space.build().unwrap();
        let drops = Drops::new();
        let (_list, _) = list(&space, &drops);
        let _evictable =
            evictable.then(|| space.exclusive(|cx| cx.own_root(cx.evictable(cx.alloc(1u64)))));
        full(&space);
        begin(&space).try_increment().unwrap().is_none()
    };
    assert!(with(true, false));
    assert!(!with(false, false));
    assert!(!with(true, true));
}

const MANY: usize = 1 << 20;

fn long_list(lock: &mut ExclusiveGuard<'_>) -> GcRoot<Rootable![Link<'_>]> {
    lock.scope(|cx| {
        let first = cx.alloc(Link { next: Slot::new(None), number: 0 });
        let mut last = first;
        for number in 1..MANY {
            let link = cx.alloc(Link { next: Slot::new(None), number });
            last.next.set(cx, Some(link));
            last = link;
        }
        cx.root(first)
    })
}

/// Puts young links behind the first until somebody wants to collect, and says how many.
fn put_until_yield(lock: &mut ExclusiveGuard<'_>, list: &GcRoot<Rootable![Link<'_>]>) -> usize {
    let mut count = 0;
    lock.scope(|cx| {
        while !cx.should_yield() {
            for _ in 0..64 {
                let first = list.get(cx);
                let next = Slot::new(first.next.get(cx));
                let young = cx.alloc(Link { next, number: 0 });
                first.next.set(cx, Some(young));
                count += 1;
            }
        }
    });
    lock.safepoint();
    count
}

#[track_caller]
fn assert_all_are_there(
    lock: &mut ExclusiveGuard<'_>,
    list: &GcRoot<Rootable![Link<'_>]>,
    put: usize,
) {
    lock.scope(|cx| {
        let (mut count, mut sum) = (0, 0);
        let mut next = Some(list.get(cx));
        while let Some(link) = next {
            count += 1;
            sum += link.number;
            next = link.next.get(cx);
        }
        assert_eq!((count, sum), (MANY + put, MANY * (MANY - 1) / 2));
    });
}

#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn a_large_heap_is_marked_in_increments_between_which_mutators_go_on() {
    let run = |on: bool| {
        let space = CSpace::builder().gc(GcMode::Safepoints).incremental_marking(on);
        let space = space.poison_freed(true).build().unwrap();
        let mut lock = space.lock();
        let list = long_list(&mut lock);
        lock.collect().unwrap();
        let before = lock.unlocked(|| space.stats());
        let (mut put, mut yields) = (0, 0);
        while lock.unlocked(|| space.stats().cycles) == before.cycles {
            put += put_until_yield(&mut lock, &list);
            yields += 1;
        }
        let after = lock.unlocked(|| space.stats());
        assert_all_are_there(&mut lock, &list, put);
        (after.increments - before.increments, yields)
    };
    let (increments, yields) = run(true);
    assert!(increments >= 3, "{increments}");
    assert_eq!(yields, increments + 1, "the mutator went on between them");
    assert_eq!(run(false), (0, 1));
}

#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn a_collector_thread_marks_in_increments_too() {
    let (ended, cycles) = std::sync::mpsc::channel();
    let space = CSpace::builder().gc(GcMode::Worker).gc_period(Duration::from_secs(3600));
    let space = space.poison_freed(true).on_event(move |event| {
        if let Event::Collected(report) = event {
            let _ = ended.send(report.increments);
        }
    });
    let space = space.build().unwrap();
    let mut lock = space.lock();
    let list = long_list(&mut lock);
    lock.collect().unwrap();
    let mut put = 0;
    // Cycles that begin before enough is known, or far over the budget, mark at once.
    while !cycles.try_iter().any(|increments| increments > 0) {
        put += put_until_yield(&mut lock, &list);
    }
    assert_all_are_there(&mut lock, &list, put);
    drop(lock);
    let verified = space.verify().unwrap();
    assert!(verified.is_clean(), "{verified}");
}

#[derive(IObject)]
struct Link<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Link<'gc>>>>,
    number: usize,
}

/// Small increments took objects off the mark stack and put all of them back.
#[test]
#[cfg_attr(miri, ignore = "increments of thousands of objects each")]
fn small_increments_trace_some_of_many_gray_objects() {
    const LISTS: usize = 64;
    let (space, drops) = (manual(), Drops::new());
    let lists: Vec<_> = (0..LISTS).map(|_| list(&space, &drops)).collect();
    (0..4).for_each(|_| increment(&space));
    // What was not traced by now is cut off.
    space.exclusive(|cx| {
        for (list, _) in &lists {
            let first = list.get(cx);
            first.next.set(cx, None);
            first.held.set(cx, None);
        }
    });
    assert!(last(&space, 4).objects_live > LISTS);
}

#[test]
fn a_mark_in_increments_may_leave_something() {
    let (space, drops) = (manual(), Drops::new());
    let (kept, _) = list(&space, &drops);
    full(&space);
    assert!(!space.has_left_dead());
    increment(&space);
    drop(kept);
    (0..3).for_each(|_| increment(&space));
    last(&space, 4);
    assert!(space.has_left_dead() && space.num_objects() > 0);
    full(&space);
    assert!(!space.has_left_dead() && space.num_objects() == 0);
}
