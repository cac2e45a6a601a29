//! The finish of a cycle added up what was alive, reported and charged, after it had taken the spans out of the heap. A
//! sum that overflowed was a panic there: the spans were lost with their marks set, so that the objects in them were not
//! looked at any more, and what they referred to was collected while it was used.

use cspace::*;

use crate::watchdog::{eventually, within};

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, String>>>,
    /// What the node says that it owns outside of the heap.
    owned: Owned,
}

struct Owned(usize);

impl Rootable for Owned {
    type At<'gc> = Owned;
}

// SAFETY: it holds no handle.
unsafe impl<'gc> IObject<'gc> for Owned {
    type R = Owned;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.report_bytes(self.0);
    }
}

fn node(space: &CSpace, owned: usize) -> GcRoot<Rootable![Node<'_>]> {
    space.exclusive(|cx| cx.root(cx.alloc(Node { next: Slot::new(None), owned: Owned(owned) })))
}

/// Gives an old node something young, collects, and looks whether it is there.
fn assert_traced(space: &CSpace, node: &GcRoot<Rootable![Node<'_>]>) {
    space.exclusive(|cx| node.get(cx).next.set(cx, Some(cx.alloc("young".to_string()))));
    space.collect().unwrap();
    assert!(space.verify().unwrap().is_clean());
    space.shared(|cx| assert_eq!(node.get(cx).next.get(cx).unwrap().as_str(), "young"));
}

fn manual() -> Builder {
    CSpace::builder().gc(GcMode::Manual)
}

#[test]
#[cfg_attr(miri, ignore = "2 MiB, byte by byte")]
fn a_charge_of_nearly_all_there_is_does_not_stop_a_finish() {
    let space = manual().build().unwrap();
    let node = node(&space, 0);
    let charge = space.ledger().try_charge(Category::External, usize::MAX - (1 << 20)).unwrap();
    let _big = space.exclusive(|cx| cx.root(cx.alloc_slice(1 << 21, |_| 0u8)));
    space.collect().unwrap();
    drop(charge);
    assert_traced(&space, &node);
}

#[test]
fn reports_of_more_than_can_be_said_do_not_stop_a_finish() {
    for factor in [f64::MIN_POSITIVE, 1.0, f64::MAX] {
        let space = manual().gc_budget_factor(factor).gc_budget_floor(usize::MAX).build().unwrap();
        let (node, _other) = (node(&space, usize::MAX), node(&space, usize::MAX - 1));
        let ledger = space.ledger();
        for _ in 0..3 {
            ledger.report_external_bytes(isize::MAX);
        }
        space.collect().unwrap();
        assert_traced(&space, &node);
        assert_eq!(space.memory().external, usize::MAX);
        for _ in 0..3 {
            ledger.report_external_bytes(isize::MIN);
        }
        assert_eq!(ledger.charged(), 0);
        assert_traced(&space, &node);
    }
}

#[test]
fn increments_and_minor_cycles_plan_with_such_sums_too() {
    for minor in [false, true] {
        let builder = CSpace::builder().gc(GcMode::Safepoints).stress(true);
        let space = builder.minor_collections(minor).build().unwrap();
        let node = node(&space, usize::MAX);
        space.ledger().report_external_bytes(isize::MAX);
        for _ in 0..if cfg!(miri) { 20 } else { 200 } {
            space.exclusive(|cx| {
                (0..10).for_each(|_| _ = cx.alloc("garbage".to_string()));
            });
        }
        let stats = space.stats();
        assert!(if minor { stats.cycles_minor > 0 } else { stats.increments > 0 }, "{stats:?}");
        assert_traced(&space, &node);
    }
}

#[test]
fn merges_add_up_such_sums_too() {
    let (source, target) = (manual().build().unwrap(), manual().build().unwrap());
    let nodes = [node(&source, usize::MAX), node(&target, usize::MAX)];
    for space in [&source, &target] {
        for _ in 0..2 {
            space.ledger().report_external_bytes(isize::MAX);
        }
        space.collect().unwrap();
    }
    target.transfer_from(&source).unwrap();
    for node in &nodes {
        assert_traced(&target, node);
    }
}

#[test]
fn a_worker_goes_on_collecting() {
    within(|| {
        let space = CSpace::new();
        let node = node(&space, usize::MAX);
        for _ in 0..3 {
            space.ledger().report_external_bytes(isize::MAX);
        }
        eventually(|| space.total_num_completed_gcs() > 0);
        assert!(space.is_gc_running());
        assert_traced(&space, &node);
    });
}
