//! Handles: identity, types behind one word, interfaces, values in 64 bits.

use std::collections::{HashMap, HashSet};

use cspace::*;

use crate::probe::{Drops, Probe};

#[derive(IObject)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(IObject)]
struct Circle<'gc> {
    center: Gc<'gc, Point>,
    radius: f64,
}

trait Shape {
    fn area(&self) -> f64;
}
interface! { struct DynShape = dyn Shape; }

impl Shape for Point {
    fn area(&self) -> f64 {
        0.0 * (self.x + self.y)
    }
}
impl Shape for Circle<'_> {
    fn area(&self) -> f64 {
        3.0 * self.radius * self.radius + 0.0 * self.center.x
    }
}

#[test]
fn references_are_equal_by_identity() {
    CSpace::new().exclusive(|cx| {
        let (a, b) = (cx.alloc(1u64), cx.alloc(1u64));
        assert!(a == a && a != b && Gc::ptr_eq(a, a) && !Gc::ptr_eq(a, b));
        assert_eq!(*a, *b);
        let set: HashSet<Gc<'_, u64>> = [a, b, a].into();
        assert_eq!(set.len(), 2);
        let any: HashMap<GcAny<'_>, u64> = [(GcAny::new(a), 1), (GcAny::new(b), 2)].into();
        assert_eq!(any[&GcAny::from(b)], 2);
        assert_eq!(GcAny::new(a).addr(), a.addr());
        assert!(format!("{a:?} {:?}", GcAny::new(b)).contains("u64"));
    });
}

#[test]
fn addresses_do_not_change() {
    const COUNT: u64 = if cfg!(miri) { 50 } else { 1000 };
    let space = CSpace::new();
    let roots: Vec<_> = space.exclusive(|cx| {
        (0..COUNT).map(|i| cx.alloc(i)).map(|object| (object.addr(), cx.root(object))).collect()
    });
    for _ in 0..3 {
        space.exclusive(|cx| (0..COUNT).for_each(|i| _ = cx.alloc(i)));
        space.collect().unwrap();
        space.shared(|cx| assert!(roots.iter().all(|(at, root)| root.get(cx).addr() == *at)));
    }
}

#[test]
fn a_downcast_finds_the_type_and_no_other() {
    CSpace::new().exclusive(|cx| {
        let point = GcAny::new(cx.alloc(Point { x: 1.0, y: 2.0 }));
        assert!(point.is::<Point>() && !point.is::<Circle<'_>>() && !point.is::<(f64, f64)>());
        assert_eq!(point.downcast::<Point>().unwrap().y, 2.0);
        assert!(point.downcast::<Circle<'_>>().is_none());
        let circle = cx.alloc(Circle { center: point.downcast().unwrap(), radius: 1.0 });
        let any = GcAny::new(circle);
        assert_eq!(any.downcast::<Circle<'_>>(), Some(circle));
        assert!(GcAny::ptr_eq(any, GcAny::new(circle)) && !GcAny::ptr_eq(any, point));
    });
}

#[test]
fn type_infos_tell_name_fields_and_size() {
    CSpace::new().exclusive(|cx| {
        let point = cx.alloc(Point { x: 1.0, y: 2.0 });
        let info = GcAny::new(cx.alloc(Circle { center: point, radius: 1.0 })).type_info();
        assert_eq!((info.name(), info.fields()), ("Circle", ["center", "radius"].as_slice()));
        assert_eq!((info.size(), info.align(), info.element_size()), (16, 8, None));
        assert!(!info.is_leaf() && GcAny::new(point).type_info().is_leaf());
        assert_eq!(GcAny::new(cx.alloc_str("x")).type_info().element_size(), Some(1));
        assert_eq!(info.index(), TypeIndex::of::<Circle<'_>>());
    });
}

#[test]
fn a_type_index_is_dense_and_stands_for_its_type() {
    let space = CSpace::new();
    let (points, texts) = (TypeIndex::of::<Point>(), TypeIndex::of::<String>());
    assert_ne!(points, texts);
    space.exclusive(|cx| {
        let objects =
            [GcAny::new(cx.alloc(Point { x: 0.0, y: 0.0 })), GcAny::new(cx.alloc(String::new()))];
        let kinds: Vec<&str> = objects
            .iter()
            .map(|object| match object.type_index() {
                index if index == points => "point",
                index if index == texts => "text",
                _ => "other",
            })
            .collect();
        assert_eq!(kinds, ["point", "text"]);
    });
    assert!(points.get() < 10_000 && texts.get() < 10_000);
}

#[test]
fn an_interface_shows_the_object_and_keeps_it() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let point = cx.alloc(Point { x: 1.0, y: 2.0 });
        let circle = cx.alloc(Circle { center: point, radius: 2.0 });
        let shapes: Vec<GcDyn<'_, DynShape>> =
            vec![unsize!(circle => DynShape), unsize!(point => DynShape)];
        assert_eq!(shapes[0].area(), 12.0);
        assert_eq!(shapes[0].as_any().downcast::<Circle<'_>>(), Some(circle));
        assert!(format!("{:?}", shapes[1]).contains("Point"));
        cx.root(cx.alloc(shapes))
    });
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 3);
    space.shared(|cx| {
        let areas: Vec<f64> = root.get(cx).iter().map(|shape| shape.as_ref().area()).collect();
        assert_eq!(areas, [12.0, 0.0]);
    });
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn an_interface_of_zero_sized_objects_tells_them_apart() {
    #[derive(IObject)]
    struct Nothing;
    impl Shape for Nothing {
        fn area(&self) -> f64 {
            1.0
        }
    }
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let (a, b) = (cx.alloc(Nothing), cx.alloc(Nothing));
        assert_ne!(a, b);
        let shape: GcDyn<'_, DynShape> = unsize!(b => DynShape);
        assert_eq!(shape.as_any(), GcAny::new(b));
        cx.root(cx.alloc(shape))
    });
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 2);
    assert_eq!(space.shared(|cx| root.get(cx).area()), 1.0);
}

#[test]
fn a_nan_box_is_exactly_one_kind_of_value() {
    CSpace::new().exclusive(|cx| {
        let object = cx.alloc(Point { x: 1.0, y: 2.0 });
        let values = [
            NanBox::from(1.5),
            NanBox::from(f64::NAN),
            NanBox::from(-0.0),
            NanBox::from(f64::NEG_INFINITY),
            NanBox::from_f64(f64::from_bits(1)),
            NanBox::from(true),
            NanBox::FALSE,
            NanBox::NIL,
            NanBox::UNDEFINED,
            NanBox::from_u32(0),
            NanBox::from_u32(u32::MAX),
            NanBox::from(object),
            NanBox::from(GcAny::new(object)),
        ];
        for value in values {
            let kinds = [
                value.is_f64(),
                value.as_bool().is_some(),
                value.is_nil(),
                value.is_undefined(),
                value.as_u32().is_some(),
                value.is_any(),
            ];
            assert_eq!(kinds.iter().filter(|is| **is).count(), 1, "{value:?}");
            assert_eq!(value, value);
            assert_eq!(value.as_f64().is_some(), value.is_f64());
        }
        assert!(values[1].as_f64().unwrap().is_nan());
        assert!(values[2].as_f64().unwrap().is_sign_negative());
        assert_eq!(values[11], values[12]);
        assert_eq!(values[11].downcast::<Point>(), Some(object));
        assert!(values[11].downcast::<String>().is_none() && !values[7].is::<Point>());
        assert_eq!(NanBox::default(), NanBox::NIL);
    });
}

/// A double with the bits of an object's tag was taken for an object.
#[test]
#[cfg_attr(miri, ignore = "260,000 values")]
fn no_double_forges_an_object() {
    CSpace::new().exclusive(|cx| {
        let address = cx.alloc(1u64).addr() as u64;
        for tag in 0..=u16::MAX as u64 {
            for low in [0, 1, address, (1 << 48) - 1] {
                let value = NanBox::from_f64(f64::from_bits(tag << 48 | (low & ((1 << 48) - 1))));
                assert!(value.is_f64() && !value.is_any(), "{tag:#x} {low:#x}");
                assert!(value.as_any().is_none() && value.as_u32().is_none());
            }
        }
    });
}

#[test]
fn objects_in_nan_boxes_are_traced() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let root = space.exclusive(|cx| {
        let fields =
            cx.alloc_tail(1u64, 5, |_| Slot::new(NanBox::from_gc(cx.alloc(drops.probe()))));
        cx.root(fields)
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    space.exclusive(|cx| root.get(cx).elems()[2].set(cx, NanBox::NIL));
    space.collect().unwrap();
    assert_eq!(drops.count(), 1);
    space.shared(|cx| {
        let fields = root.get(cx).elems();
        assert!(fields[1].get(cx).is::<Static<Probe>>() && fields[2].get(cx).is_nil());
    });
}

#[test]
fn references_are_shared_by_threads_of_one_access() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let objects: Vec<_> = (0..1000u64).map(|i| cx.alloc(i)).collect();
        let sum: u64 = std::thread::scope(|threads| {
            let halves = objects
                .chunks(500)
                .map(|half| threads.spawn(move || half.iter().map(|object| **object).sum::<u64>()));
            let halves: Vec<_> = halves.collect();
            halves.into_iter().map(|half| half.join().unwrap()).sum()
        });
        assert_eq!(sum, 499_500);
    });
}
