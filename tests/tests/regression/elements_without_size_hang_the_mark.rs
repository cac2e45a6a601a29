//! A slice, an array or a vector of elements without size may be of any length, and the mark looked at one after the
//! other.

use cspace::*;

/// Of no size, and does not say that there is nothing to visit.
#[derive(Clone, Copy)]
struct Nothing;

impl Rootable for Nothing {
    type At<'gc> = Nothing;
}

// SAFETY: it holds no handle.
unsafe impl<'gc> IObject<'gc> for Nothing {
    type R = Nothing;
    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}

#[derive(IObject, Clone, Copy)]
struct Derived<'gc> {
    none: [Gc<'gc, u8>; 0],
}

#[derive(IObject)]
struct Holder<'gc> {
    array: [[Gc<'gc, u8>; 0]; usize::MAX],
    derived: [Derived<'gc>; usize::MAX],
    foreign: [Nothing; usize::MAX],
    boxed: Box<[Nothing]>,
    vector: GcCell<'gc, Vec<Nothing>>,
    queue: std::collections::VecDeque<Nothing>,
    next: Slot<'gc, Option<Gc<'gc, u64>>>,
}

/// As many as can be, made at once.
fn many() -> Vec<Nothing> {
    Vec::from([Nothing; usize::MAX])
}

fn holder<'gc>() -> Holder<'gc> {
    Holder {
        array: [[]; usize::MAX],
        derived: [Derived { none: [] }; usize::MAX],
        foreign: [Nothing; usize::MAX],
        boxed: many().into_boxed_slice(),
        vector: GcCell::new(many()),
        queue: many().into(),
        next: Slot::new(None),
    }
}

fn collected(build: impl FnOnce() -> CSpace) {
    let space = build();
    let (holder, slices, nothing) = space.exclusive(|cx| {
        let none: [[Gc<'_, u8>; 0]; usize::MAX] = [[]; usize::MAX];
        let slice = cx.alloc_slice_copy(&none);
        let foreign = cx.alloc_tail_copy("header".to_string(), &[Nothing; usize::MAX]);
        cx.alloc_slice_copy(&[Nothing; usize::MAX]);
        let holder = cx.alloc(holder());
        cx.alloc(self::holder());
        holder.next.set(cx, Some(cx.alloc(7)));
        assert!(cx.evictable(slice).size_bytes(cx) >= size_of::<usize>(), "it is measured");
        (cx.root(holder), cx.root(slice), cx.root(foreign))
    });
    let report = space.collect().unwrap();
    assert!(report.objects_reclaimed >= 2, "{report:?}");
    assert!(space.verify().unwrap().is_clean());
    space.shared(|cx| {
        assert_eq!(slices.get(cx).elems().len(), usize::MAX);
        assert_eq!(
            (nothing.get(cx).as_str(), *holder.get(cx).next.get(cx).unwrap()),
            ("header", 7)
        );
    });
    drop((holder, slices, nothing));
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn their_number_costs_nothing() {
    crate::within(60, || {
        collected(|| CSpace::builder().gc(GcMode::Manual).build().unwrap());
        collected(|| CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap());
        collected(CSpace::new);
    });
}
