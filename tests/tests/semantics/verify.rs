//! `verify` finds what is wrong, all of it, and goes on.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cspace::*;

use crate::collect::PanicsOnVisit;
use crate::probe::Drops;

/// An object that does not show the reference it holds: what `# Safety` of `IObject` forbids.
struct Hides<'gc> {
    hidden: Gc<'gc, Slot<'gc, u64>>,
    show: AtomicBool,
}

struct HidesFamily;
impl Rootable for HidesFamily {
    type At<'gc> = Hides<'gc>;
}
// SAFETY: this one is wrong on purpose: the reference is not always visited. The tests look at no object behind it
// that was reclaimed.
unsafe impl<'gc> IObject<'gc> for Hides<'gc> {
    type R = HidesFamily;
    const NAME: &'static str = "Hides";
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        if self.show.load(SeqCst) {
            self.hidden.visit_objects(visitor);
        }
    }
}

#[test]
fn a_sound_heap_is_clean() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let list = (0..100)
            .fold(None, |next, i| Some(cx.alloc((i as u64, Slot::new(next.map(GcAny::new))))));
        cx.root(list.unwrap())
    });
    let report = space.verify().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.objects, report.edges), (100, 100));
    assert_eq!(report.to_string(), "100 objects, 100 edges, all sound");
    space.collect().unwrap();
    assert_eq!(space.verify().unwrap(), report);
    drop(root);
}

#[test]
fn garbage_is_looked_at_too() {
    let space = CSpace::new();
    space.exclusive(|cx| cx.alloc((cx.alloc(1u64), cx.alloc(2u64))).addr());
    let report = space.verify().unwrap();
    assert_eq!((report.objects, report.edges, report.is_clean()), (3, 2, true));
}

/// Plants an edge to a reclaimed object in each of `count` objects.
fn dangling(space: &CSpace, count: usize) -> Vec<GcRoot<HidesFamily>> {
    let roots: Vec<_> = space.exclusive(|cx| {
        (0..count)
            .map(|_| {
                let hidden = cx.alloc(Slot::new(7u64));
                cx.root(cx.alloc(Hides { hidden, show: AtomicBool::new(false) }))
            })
            .collect()
    });
    assert!(space.verify().unwrap().is_clean());
    space.collect().unwrap();
    space.shared(|cx| roots.iter().for_each(|root| root.get(cx).show.store(true, SeqCst)));
    roots
}

#[test]
fn every_dangling_edge_is_reported_with_its_owner() {
    let space = CSpace::new();
    let roots = dangling(&space, 5);
    let report = space.verify().unwrap();
    assert_eq!((report.objects, report.bad_edges.len()), (5, 5));
    space.shared(|cx| {
        for root in &roots {
            let object = root.get(cx);
            let edge = BadEdge {
                from: Some("Hides"),
                from_address: object.addr(),
                to_address: object.hidden.addr(),
                fault: Fault::Dangling,
            };
            assert!(report.bad_edges.contains(&edge), "{report}");
        }
    });
    assert!(report.to_string().contains("Hides at 0x"), "{report}");
    assert!(report.to_string().contains("memory that holds no object"), "{report}");
    space.shared(|cx| roots.iter().for_each(|root| root.get(cx).show.store(false, SeqCst)));
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn an_edge_to_memory_that_is_gone_dangles() {
    // The only object of a mapping of its own: after two collections the mapping is gone.
    struct HidesLarge<'gc>(Gc<'gc, Slice<u8>>, AtomicBool);
    struct Family;
    impl Rootable for Family {
        type At<'gc> = HidesLarge<'gc>;
    }
    // SAFETY: wrong on purpose, as above.
    unsafe impl<'gc> IObject<'gc> for HidesLarge<'gc> {
        type R = Family;
        fn visit_objects(&self, visitor: &mut Visitor<'_>) {
            if self.1.load(SeqCst) {
                self.0.visit_objects(visitor);
            }
        }
    }
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let large = cx.alloc_slice_copy(&vec![0u8; 5 << 20]);
        cx.root(cx.alloc(HidesLarge(large, AtomicBool::new(false))))
    });
    for _ in 0..3 {
        space.collect().unwrap();
        space.shared(|cx| root.get(cx).1.store(true, SeqCst));
        let report = space.verify().unwrap();
        assert_eq!(report.bad_edges.len(), 1);
        assert_eq!(report.bad_edges[0].fault, Fault::Dangling);
        space.shared(|cx| root.get(cx).1.store(false, SeqCst));
    }
}

#[test]
fn an_edge_into_another_space_is_reported() {
    // With the brand taken off by force, as a bug in unsafe code would.
    let (a, b) = (CSpace::new(), CSpace::new());
    let kept = b.exclusive(|cx| cx.root(cx.alloc(Slot::new(7u64))));
    let address = b.shared(|cx| kept.get(cx).addr());
    let root = a.exclusive(|in_a| {
        b.shared(|in_b| {
            let foreign = kept.get(in_b);
            // SAFETY: wrong on purpose; the object lives in `b` for as long as the test, and `a` is not
            // collected.
            let foreign: Gc<'_, Slot<'_, u64>> = unsafe { std::mem::transmute(foreign) };
            in_a.root(in_a.alloc(Hides { hidden: foreign, show: AtomicBool::new(true) }))
        })
    });
    let report = a.verify().unwrap();
    assert_eq!(report.bad_edges.len(), 1, "{report}");
    assert_eq!(report.bad_edges[0].fault, Fault::OtherSpace);
    assert_eq!(report.bad_edges[0].to_address, address);
    assert!(report.to_string().contains("another space"), "{report}");
    assert!(b.verify().unwrap().is_clean());
    drop(root);
}

#[test]
fn an_edge_shown_only_at_times_is_reported() {
    struct Moody<'gc>(Gc<'gc, u64>, AtomicBool);
    struct Family;
    impl Rootable for Family {
        type At<'gc> = Moody<'gc>;
    }
    // SAFETY: wrong on purpose; the target is rooted.
    unsafe impl<'gc> IObject<'gc> for Moody<'gc> {
        type R = Family;
        fn visit_objects(&self, visitor: &mut Visitor<'_>) {
            if self.1.fetch_xor(true, SeqCst) {
                self.0.visit_objects(visitor);
            }
        }
    }
    for first in [false, true] {
        let space = CSpace::new();
        let roots = space.exclusive(|cx| {
            let target = cx.alloc(1u64);
            (cx.root(target), cx.root(cx.alloc(Moody(target, AtomicBool::new(first)))))
        });
        let report = space.verify().unwrap();
        assert_eq!(report.bad_edges.len(), 1, "{report}");
        assert_eq!(report.bad_edges[0].fault, Fault::Unvisited);
        drop(roots);
    }
}

#[test]
fn a_visit_that_panics_is_a_problem_in_the_report_and_the_rest_is_checked() {
    let space = CSpace::new();
    let bad = space.exclusive(|cx| cx.root(cx.alloc(PanicsOnVisit::new())));
    let roots = dangling_without_collect(&space);
    let report = space.verify().unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].contains("cannot look"), "{report}");
    assert_eq!(report.objects, 3);
    assert!(space.try_exclusive(|_| ()).is_ok());
    drop((bad, roots));

    fn dangling_without_collect(space: &CSpace) -> GcRoot<HidesFamily> {
        space.exclusive(|cx| {
            let hidden = cx.alloc(Slot::new(7u64));
            cx.root(cx.alloc(Hides { hidden, show: AtomicBool::new(true) }))
        })
    }
}

#[test]
fn owned_roots_are_checked() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let owned =
        space.exclusive(|cx| cx.own_root(vec![cx.alloc(drops.probe()), cx.alloc(drops.probe())]));
    let report = space.verify().unwrap();
    assert_eq!((report.objects, report.edges, report.is_clean()), (2, 2, true));
    drop(owned);
}
