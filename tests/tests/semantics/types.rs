//! The identity of types: never an address, never the same for two.

use std::marker::PhantomData;

use cspace::*;

use crate::probe::Drops;

mod alikes {
    //! Types that look alike: the same layout, the same visit, the same drop glue. A linker may merge their
    //! descriptions, and identities that were addresses with them.

    use cspace::*;

    macro_rules! alike {
        ($($name:ident $module:ident),*) => { $(
            #[derive(IObject)]
            pub struct $name(pub u64);
            pub mod $module {
                use cspace::*;
                #[derive(IObject)]
                pub struct Holder<'gc>(pub Option<Gc<'gc, u64>>, pub u64);
            }
        )* };
    }
    alike!(A a, B b);

    /// A third without a namesake.
    #[derive(IObject)]
    pub struct C(pub u64);

    pub fn all<'gc>(cx: &Exclusive<'gc>) -> Vec<GcAny<'gc>> {
        vec![
            GcAny::new(cx.alloc(A(1))),
            GcAny::new(cx.alloc(B(1))),
            GcAny::new(cx.alloc(C(1))),
            GcAny::new(cx.alloc(a::Holder(None, 1))),
            GcAny::new(cx.alloc(b::Holder(None, 1))),
            GcAny::new(cx.alloc(1u64)),
            GcAny::new(cx.alloc(1i64)),
            GcAny::new(cx.alloc(Static(1u64))),
            GcAny::new(cx.alloc(Static(1i64))),
            GcAny::new(cx.alloc((1u64,))),
            GcAny::new(cx.alloc([1u64])),
            GcAny::new(cx.alloc(Slot::new(1u64))),
            GcAny::new(cx.alloc(GcCell::new(1u64))),
            GcAny::new(cx.alloc(std::marker::PhantomData::<u64>)),
            GcAny::new(cx.alloc(std::marker::PhantomData::<i64>)),
            GcAny::new(cx.alloc(vec![1u64])),
            GcAny::new(cx.alloc(vec![1i64])),
            GcAny::new(cx.alloc_slice(1, |_| 1u64)),
            GcAny::new(cx.alloc_slice(1, |_| 1i64)),
            GcAny::new(cx.alloc_tail(1u64, 0, |_| 1u64)),
        ]
    }

    pub fn which<'gc>(object: GcAny<'gc>) -> Vec<bool> {
        vec![
            object.is::<A>(),
            object.is::<B>(),
            object.is::<C>(),
            object.is::<a::Holder<'gc>>(),
            object.is::<b::Holder<'gc>>(),
            object.is::<u64>(),
            object.is::<i64>(),
            object.is::<Static<u64>>(),
            object.is::<Static<i64>>(),
            object.is::<(u64,)>(),
            object.is::<[u64; 1]>(),
            object.is::<Slot<'gc, u64>>(),
            object.is::<GcCell<'gc, u64>>(),
            object.is::<std::marker::PhantomData<u64>>(),
            object.is::<std::marker::PhantomData<i64>>(),
            object.is::<Vec<u64>>(),
            object.is::<Vec<i64>>(),
            object.is::<Slice<u64>>(),
            object.is::<Slice<i64>>(),
            object.is::<Tail<u64, u64>>(),
        ]
    }
}

/// Type indices and downcasts went by the address of a type's description; in a release build two types had one.
#[test]
fn types_that_look_alike_are_told_apart() {
    CSpace::new().exclusive(|cx| {
        let objects = alikes::all(cx);
        for (i, object) in objects.iter().enumerate() {
            let which = alikes::which(*object);
            assert_eq!(which.len(), objects.len());
            for (j, is) in which.iter().enumerate() {
                assert_eq!(*is, i == j, "{i} {j} {object:?}");
            }
            for (j, other) in objects.iter().enumerate() {
                assert_eq!(object.type_index() == other.type_index(), i == j, "{i} {j}");
            }
        }
    });
}

#[derive(IObject)]
struct Generic<'gc, T> {
    value: T,
    next: Slot<'gc, Option<Gc<'gc, Generic<'gc, T>>>>,
}

/// A `static` in a generic function is one for all types: with an allocation cursor behind it objects of two
/// types shared a block, and were traced and dropped as one.
#[test]
#[cfg_attr(miri, ignore = "10,000 objects")]
fn instances_of_one_generic_type_have_cursors_of_their_own() {
    let (space, drops) = (CSpace::new(), Drops::new());
    let root = space.exclusive(|cx| {
        let generic = |next| Generic { value: cx.alloc(drops.probe()), next: Slot::new(next) };
        let mut last = None;
        for i in 0..5000u64 {
            cx.alloc(Generic { value: i, next: Slot::new(None) });
            cx.alloc(Generic { value: [i; 2], next: Slot::new(None) });
            cx.alloc(Generic { value: vec![i], next: Slot::new(None) });
            last = Some(cx.alloc(generic(last)));
        }
        cx.root(last.unwrap())
    });
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 10_000);
    assert!(space.verify().unwrap().is_clean());
    drop(root);
    space.collect().unwrap();
    assert_eq!((drops.count(), space.num_objects()), (5000, 0));
}

#[test]
fn a_root_infers_its_family() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        let inner = cx.alloc(Generic { value: 7u64, next: Slot::new(None) });
        cx.root(cx.alloc(Generic { value: inner, next: Slot::new(None) }))
    });
    let named: GcRoot<Rootable![Generic<'_, Gc<'_, Generic<'_, u64>>>]> = root;
    assert_eq!(space.shared(|cx| named.get(cx).value.value), 7);
}

#[test]
fn a_phantom_of_an_object_is_one() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc((PhantomData::<Gc<'_, u64>>, 1u64))));
    space.collect().unwrap();
    assert_eq!(space.shared(|cx| root.get(cx).1), 1);
}

#[test]
fn standard_collections_are_objects() {
    use std::collections::*;
    let (space, drops) = (CSpace::new(), Drops::new());
    let root = space.exclusive(|cx| {
        let new = || cx.alloc(drops.probe());
        let object = (
            HashMap::from([(1u64, new()), (2, new())]),
            BTreeMap::from([("a".to_string(), new())]),
            VecDeque::from([Some(new()), None]),
            (HashSet::from([new()]), Box::new(new()), [new(), new()]),
            vec![Ok::<_, Gc<'_, Static<crate::probe::Probe>>>(new()), Err(new())],
            Box::<[_]>::from([new()]),
        );
        cx.root(cx.alloc(object))
    });
    space.collect().unwrap();
    assert_eq!(drops.count(), 0);
    assert!(space.verify().unwrap().is_clean());
    drop(root);
    space.collect().unwrap();
    assert_eq!(drops.count(), 11);
}

#[test]
fn function_pointers_are_kept_as_static_data() {
    type Native = Static<for<'gc> fn(&mut Exclusive<'gc>, NanBox<'gc>) -> NanBox<'gc>>;
    fn twice<'gc>(_: &mut Exclusive<'gc>, value: NanBox<'gc>) -> NanBox<'gc> {
        NanBox::from_f64(value.as_f64().unwrap() * 2.0)
    }
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc::<Native>(Static(twice))));
    space.exclusive(|cx| {
        let native = root.get(cx);
        assert_eq!((native.0)(cx, NanBox::from_f64(4.0)).as_f64(), Some(8.0));
    });
}
