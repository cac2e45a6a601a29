//! Minor collections: what is old is alive for them, and what is young is found wherever it is referred to.

use std::collections::HashMap;
use std::time::Duration;

use cspace::collector::{Extent, ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::collect::PanicsOnVisit;
use crate::probe::{Drops, Probe};

/// A pair that cannot change.
#[derive(IObject)]
struct Pair<'gc> {
    parts: [Option<GcAny<'gc>>; 2],
    probe: Static<Probe>,
}

/// A space whose collector is the test. Under stress every other cycle is a minor one, where that will do.
fn manual() -> Space {
    Space::builder().stress(true).poison_freed(true).build().unwrap()
}

fn cycle(space: &Space, extent: Extent) -> CollectReport {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    phase.mark_as(extent).unwrap();
    let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
    let (batch, report) = finish.condemn().unwrap();
    batch.reclaim().ok().expect("this thread holds nothing");
    assert!(space.verify().unwrap().is_clean());
    report
}

#[track_caller]
pub(crate) fn full(space: &Space) -> CollectReport {
    let report = cycle(space, Extent::Full);
    assert!(!report.is_minor && !space.has_left_dead());
    report
}

#[track_caller]
pub(crate) fn minor(space: &Space) -> CollectReport {
    let report = cycle(space, Extent::MinorWillDo);
    assert!(report.is_minor && space.has_left_dead());
    report
}

#[test]
fn what_dies_young_goes_and_what_dies_old_waits_for_a_full_one() {
    let (space, drops) = (manual(), Drops::new());
    let make = |cx: &Exclusive<'_>| {
        let leaf = cx.alloc(drops.probe());
        cx.root(cx.alloc(Pair { parts: [Some(GcAny::new(leaf)), None], probe: drops.probe() }))
    };
    let (kept, old) = space.exclusive(|cx| (make(cx), make(cx)));
    assert_eq!(full(&space).objects_live, 4);
    let young = space.exclusive(|cx| make(cx));
    drop((old, young));
    let report = minor(&space);
    assert_eq!((report.objects_live, report.objects_reclaimed, drops.count()), (4, 2, 2));
    let report = full(&space);
    assert_eq!((report.objects_live, report.objects_reclaimed, drops.count()), (2, 2, 4));
    assert!(space.shared(|cx| kept.get(cx).parts[0].is_some()));
}

#[test]
fn what_young_objects_refer_to_is_found_young_and_old() {
    let (space, drops) = (manual(), Drops::new());
    let old = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
    full(&space);
    let young = space.exclusive(|cx| {
        let other = GcAny::new(cx.alloc(drops.probe()));
        let parts = [Some(GcAny::new(old.get(cx))), Some(other)];
        cx.root(cx.alloc(Pair { parts, probe: drops.probe() }))
    });
    drop(old);
    assert_eq!(minor(&space).objects_live, 3);
    // Now all three are old, and what they refer to stays with them.
    assert_eq!(full(&space).objects_live, 3);
    assert_eq!(minor(&space).objects_live, 3);
    drop(young);
    assert_eq!((full(&space).objects_live, drops.count()), (0, 3));
}

/// What is held: its drop is counted.
pub(crate) type Held<'gc> = Gc<'gc, Static<Probe>>;
pub(crate) type Hole<'gc> = Slot<'gc, Option<Held<'gc>>>;

/// A holder that is old gets something young to hold, which a minor cycle has to find there; and so has one that
/// goes on with an incremental mark.
#[track_caller]
fn finds<R: Rootable>(
    make: impl for<'gc> Fn(&mut Exclusive<'gc>) -> Gc<'gc, R::At<'gc>>,
    put: impl for<'gc> Fn(&mut Exclusive<'gc>, Gc<'gc, R::At<'gc>>, Held<'gc>),
) {
    // An increment that has been there is told, or comes again.
    crate::incremental::finds::<R>(&make, &put);
    let (space, drops) = (manual(), Drops::new());
    // Behind an object that cannot change, so that no root leads to the holder by what is traced anew.
    let front = space.exclusive(|cx| {
        let holder = GcAny::new(make(cx));
        cx.root(cx.alloc(Pair { parts: [Some(holder), None], probe: drops.probe() }))
    });
    let old = full(&space).objects_live;
    space.exclusive(|cx| {
        let held = cx.alloc(drops.probe());
        let holder = front.get(cx).parts[0].expect("it was made with one");
        put(cx, holder.downcast::<R::At<'_>>().expect("it was made of this type"), held);
    });
    assert_eq!(minor(&space).objects_live, old + 1);
    assert_eq!(drops.count(), 0, "what an old object was changed to refer to is alive");
    drop(front);
    assert_eq!((full(&space).objects_live, drops.count()), (0, 2));
}

#[derive(IObject)]
struct WithSlot<'gc> {
    number: u64,
    hole: Hole<'gc>,
}

#[derive(IObject)]
enum Choice<'gc> {
    #[allow(dead_code)]
    Fixed(Held<'gc>),
    Open(Hole<'gc>, u8),
}

#[derive(IObject)]
struct Deep<'gc> {
    parts: (u8, Option<[Result<Hole<'gc>, u16>; 2]>),
}

#[derive(IObject)]
struct Boxed<'gc> {
    hole: Box<Hole<'gc>>,
}

#[derive(IObject)]
struct Generic<T> {
    part: T,
}

/// Made by hand, and saying nothing of whether it may change.
struct ByHand<'gc>(Hole<'gc>);
impl Rootable for ByHand<'static> {
    type At<'gc> = ByHand<'gc>;
}
// SAFETY: the one part is visited; there is no drop; the lifetime is the brand.
unsafe impl<'gc> IObject<'gc> for ByHand<'gc> {
    type R = ByHand<'static>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        self.0.visit_objects(visitor);
    }
}

#[test]
#[cfg_attr(miri, ignore = "a space for each of many sorts of holders")]
fn what_was_put_into_old_objects_is_found_in_slots_wherever_they_are() {
    finds::<Rootable![WithSlot<'_>]>(
        |cx| cx.alloc(WithSlot { number: 1, hole: Slot::new(None) }),
        |cx, holder, held| holder.hole.set(cx, Some(held)),
    );
    finds::<Rootable![Choice<'_>]>(
        |cx| cx.alloc(Choice::Open(Slot::new(None), 1)),
        |cx, holder, held| match holder.as_ref() {
            Choice::Open(hole, _) => hole.set(cx, Some(held)),
            Choice::Fixed(_) => unreachable!("made open"),
        },
    );
    finds::<Rootable![Deep<'_>]>(
        |cx| cx.alloc(Deep { parts: (0, Some([Err(1), Ok(Slot::new(None))])) }),
        |cx, holder, held| match &holder.parts.1 {
            Some([_, Ok(hole)]) => hole.set(cx, Some(held)),
            _ => unreachable!("made so"),
        },
    );
    finds::<Rootable![Boxed<'_>]>(
        |cx| cx.alloc(Boxed { hole: Box::new(Slot::new(None)) }),
        |cx, holder, held| holder.hole.set(cx, Some(held)),
    );
    finds::<Rootable![Generic<Hole<'_>>]>(
        |cx| cx.alloc(Generic { part: Slot::new(None) }),
        |cx, holder, held| holder.part.set(cx, Some(held)),
    );
    finds::<ByHand<'static>>(
        |cx| cx.alloc(ByHand(Slot::new(None))),
        |cx, holder, held| holder.0.set(cx, Some(held)),
    );
    finds::<Rootable![WithValue<'_>]>(
        |cx| cx.alloc(WithValue { value: Slot::new(NanBox::NIL) }),
        |cx, holder, held| holder.value.set(cx, NanBox::from_any(GcAny::new(held))),
    );
}

#[derive(IObject)]
struct WithValue<'gc> {
    value: Slot<'gc, NanBox<'gc>>,
}

#[test]
#[cfg_attr(miri, ignore = "a tail of 200,000 elements")]
fn what_was_put_into_old_objects_is_found_in_tails() {
    finds::<Rootable![Slice<Hole<'_>>]>(
        |cx| cx.alloc_slice(3, |_| Slot::new(None)),
        |cx, holder, held| holder.elems()[2].set(cx, Some(held)),
    );
    finds::<Rootable![Tail<Hole<'_>, u8>]>(
        |cx| cx.alloc_tail(Slot::new(None), 3, |_| 0u8),
        |cx, holder, held| holder.header().set(cx, Some(held)),
    );
    // With a mapping of its own.
    finds::<Rootable![Slice<Hole<'_>>]>(
        |cx| cx.alloc_slice(200_000, |_| Slot::new(None)),
        |cx, holder, held| holder.elems()[199_999].set(cx, Some(held)),
    );
}

#[test]
fn what_was_put_into_old_objects_is_found_in_collections() {
    finds::<Rootable![GcCell<'_, Vec<Held<'_>>>]>(
        |cx| cx.alloc(GcCell::new(Vec::new())),
        |cx, holder, held| holder.borrow_mut(cx).push(held),
    );
    finds::<Rootable![GcCell<'_, HashMap<u64, Held<'_>>>]>(
        |cx| cx.alloc(GcCell::new(HashMap::new())),
        |cx, holder, held| _ = holder.borrow_mut(cx).insert(5, held),
    );
    finds::<Rootable![Vec<Hole<'_>>]>(
        |cx| cx.alloc(vec![Slot::new(None), Slot::new(None)]),
        |cx, holder, held| holder[1].set(cx, Some(held)),
    );
}

#[derive(IObject)]
struct Facts<'gc> {
    key: Gc<'gc, u64>,
    map: GcCell<'gc, EphemeronMap<'gc, Gc<'gc, u64>, Held<'gc>>>,
}

#[test]
fn what_was_put_into_old_objects_is_found_in_ephemeron_maps() {
    finds::<Rootable![Facts<'_>]>(
        |cx| {
            let key = cx.alloc(1u64);
            cx.alloc(Facts { key, map: GcCell::new(EphemeronMap::new()) })
        },
        |cx, holder, held| {
            let (cx, cells) = cx.split();
            holder.map.borrow_mut(cells).insert(cx, holder.key, held);
        },
    );
}

#[derive(IObject)]
struct Names<'gc> {
    set: GcCell<'gc, WeakSet<'gc, Static<Probe>>>,
    weak: Slot<'gc, Option<GcWeak<'gc, Static<Probe>>>>,
}

#[test]
fn weak_references_and_sets_of_old_objects_let_go_of_the_young() {
    let (space, drops) = (manual(), Drops::new());
    let names = space.exclusive(|cx| {
        let (set, weak) = (GcCell::new(WeakSet::new()), Slot::new(None));
        cx.root(cx.alloc(Names { set, weak }))
    });
    let old = space.exclusive(|cx| {
        let (old, names) = (cx.alloc(drops.probe()), names.get(cx));
        let (cx, cells) = cx.split();
        names.set.borrow_mut(cells).insert(cx, 1, old);
        cx.root(old)
    });
    full(&space);
    space.exclusive(|cx| {
        let (young, names) = (cx.alloc(drops.probe()), names.get(cx));
        let (cx, cells) = cx.split();
        names.set.borrow_mut(cells).insert(cx, 2, young);
        names.weak.set(cx, Some(cx.downgrade(young)));
    });
    drop(old);
    let found = |hash| {
        let find = |cx: &Shared<'_>| names.get(cx).set.borrow(cx).find(hash, |_| true).is_some();
        space.shared(find)
    };
    assert_eq!(minor(&space).objects_reclaimed, 1);
    assert_eq!((found(1), found(2), drops.count()), (true, false, 1));
    space.exclusive(|cx| {
        let weak = names.get(cx).weak.get(cx).expect("it was set");
        assert!(weak.upgrade(cx).is_none());
    });
    full(&space);
    assert_eq!((found(1), drops.count()), (false, 2));
}

#[test]
fn a_cycle_that_was_asked_for_is_full() {
    let space = manual();
    full(&space);
    space.request_gc();
    assert!(!cycle(&space, Extent::MinorWillDo).is_minor);
    assert!(cycle(&space, Extent::MinorWillDo).is_minor);
}

#[test]
fn the_first_cycle_is_full_and_so_is_one_after_a_merge_or_one_that_was_given_up() {
    let (space, other) = (manual(), manual());
    assert!(!cycle(&space, Extent::MinorWillDo).is_minor);
    let (mut keep, drops) = (Vec::new(), Drops::new());
    other.exclusive(|cx| {
        keep.push(cx.root(cx.alloc(drops.probe())));
        cx.alloc(drops.probe());
    });
    full(&other);
    space.transfer_from(&other).unwrap();
    assert!(space.verify().unwrap().is_clean());
    keep.clear();
    let report = cycle(&space, Extent::MinorWillDo);
    assert_eq!((report.is_minor, report.objects_live, drops.count()), (false, 0, 2));

    let panics = space.exclusive(|cx| cx.root(cx.alloc(PanicsOnVisit::new())));
    let claim = space.try_claim_cycle().unwrap();
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    assert!(phase.mark_as(Extent::MinorWillDo).is_err());
    drop(phase);
    space.exclusive(|cx| panics.get(cx).calm());
    assert!(!cycle(&space, Extent::MinorWillDo).is_minor);
    minor(&space);
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn without_minor_collections_every_cycle_is_full() {
    let space = Space::builder().stress(true).minor_collections(false).build().unwrap();
    for _ in 0..3 {
        assert!(!cycle(&space, Extent::MinorWillDo).is_minor);
    }
}

/// A list of pairs that cannot change, longer than what is marked in no time.
fn grow(space: &Space, list: &mut Option<GcRoot<Rootable![Link<'_>]>>, count: usize) {
    space.exclusive(|cx| {
        let mut last = list.as_ref().map(|list| list.get(cx));
        for _ in 0..count {
            last = Some(cx.alloc(Link { next: last }));
        }
        *list = last.map(|last| cx.root(last));
    });
}

#[derive(IObject)]
struct Link<'gc> {
    next: Option<Gc<'gc, Link<'gc>>>,
}

const MANY: usize = 100_000;

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn minor_cycles_go_on_until_what_may_be_dead_is_half_of_what_was_alive() {
    let space = Space::builder().build().unwrap();
    let (mut list, mut minor_cycles) = (None, 0);
    grow(&space, &mut list, MANY);
    full(&space);
    for _ in 0..100 {
        let before = space.num_objects();
        // A tenth, dead before the next cycle but one.
        grow(&space, &mut list, MANY / 10);
        let report = cycle(&space, Extent::MinorWillDo);
        if !report.is_minor {
            break;
        }
        minor_cycles += 1;
        assert_eq!(report.objects_live, before + MANY / 10);
    }
    assert!((5..=6).contains(&minor_cycles), "{minor_cycles}");
    assert!(cycle(&space, Extent::MinorWillDo).is_minor, "after a full one");
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn minor_cycles_of_a_large_heap_come_sooner_than_full_ones_would() {
    let cycles = |minor: bool| {
        let space = CSpace::builder().gc(GcMode::Safepoints).minor_collections(minor);
        let space = space.gc_budget_floor(1 << 20).build().unwrap();
        let mut lock = space.lock();
        let (mut list, mut kept) = (None, 0);
        while kept < 10 * MANY {
            list = lock.scope(|cx| {
                let last = list.as_ref().map(|list: &GcRoot<Rootable![Link<'_>]>| list.get(cx));
                kept += MANY / 10;
                (0..MANY / 10)
                    .fold(last, |next, _| Some(cx.alloc(Link { next })))
                    .map(|last| cx.root(last))
            });
            lock.safepoint();
        }
        lock.collect().unwrap();
        let before = space.total_num_completed_gcs();
        for _ in 0..1000 {
            lock.scope(|cx| cx.alloc_slice(60 << 10, |_| 0u8).addr());
            lock.safepoint();
        }
        space.total_num_completed_gcs() - before
    };
    // A quarter of what is alive, and all of it.
    let (minor, full) = (cycles(true), cycles(false));
    assert!((3..=5).contains(&full) && (12..=18).contains(&minor), "{minor}, {full}");
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn minor_cycles_end_sooner_near_the_limit_of_the_heap() {
    let second_is_minor = |limit: usize| {
        let space = Space::builder().max_heap_bytes(limit).build().unwrap();
        let mut list = None;
        grow(&space, &mut list, MANY);
        let live = full(&space).bytes_live;
        assert!(live <= limit);
        grow(&space, &mut list, MANY / 5);
        assert!(cycle(&space, Extent::MinorWillDo).is_minor);
        cycle(&space, Extent::MinorWillDo).is_minor
    };
    // A fifth of what is alive, and more than a quarter of the room that is left.
    assert!(!second_is_minor(MANY * 16 / 5 * 8));
    assert!(second_is_minor(MANY * 16 * 2));
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn minor_cycles_are_for_heaps_that_rarely_change() {
    let next_is_minor = |space: Result<Space, SettingError>, changing: usize| {
        let space = space.unwrap();
        let mut list = None;
        grow(&space, &mut list, MANY);
        let slots = space.exclusive(|cx| {
            let slots: Vec<_> = (0..changing)
                .map(|number| cx.alloc(WithSlot { number: number as u64, hole: Slot::new(None) }))
                .collect();
            assert!(slots.iter().all(|slot| slot.number < changing as u64));
            cx.own_root(slots)
        });
        full(&space);
        let is_minor = cycle(&space, Extent::MinorWillDo).is_minor;
        drop(slots);
        is_minor
    };
    assert!(next_is_minor(Space::builder().build(), MANY / 4));
    assert!(!next_is_minor(Space::builder().build(), MANY));
    // What is charged may be denied at any time.
    assert!(!next_is_minor(Space::builder().memory_limit(1 << 30).build(), 0));
}

#[test]
fn spaces_with_evictable_objects_collect_in_full() {
    let space = Space::builder().stress(true).build().unwrap();
    let evictable = space.exclusive(|cx| cx.own_root(cx.evictable(cx.alloc(1u64))));
    full(&space);
    assert!(!cycle(&space, Extent::MinorWillDo).is_minor);
    drop(evictable);
    full(&space);
    minor(&space);
}

#[test]
#[cfg_attr(miri, ignore = "100,000 objects")]
fn mutators_and_drivers_make_minor_cycles_and_explicit_ones_are_full() {
    let space = CSpace::builder().gc(GcMode::Safepoints).gc_budget_floor(1 << 20).build().unwrap();
    let list = space.exclusive(|cx| {
        let mut last = None;
        for _ in 0..MANY {
            last = Some(cx.alloc(Link { next: last }));
        }
        cx.root(last.expect("there are many"))
    });
    space.synchronous_gc().unwrap();
    for _ in 0..20 {
        space.exclusive(|cx| (0..MANY).for_each(|_| _ = cx.alloc(Link { next: None })));
    }
    let stats = space.stats();
    assert!(stats.cycles_minor > 0 && stats.cycles_minor < stats.cycles, "{stats:?}");
    let report = space.synchronous_gc().unwrap();
    assert_eq!((report.is_minor, report.objects_live), (false, MANY));
    drop(list);
}
