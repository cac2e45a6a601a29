//! Every form of type that the derive takes, in a crate that forbids what interpreters forbid.
#![forbid(unsafe_code, missing_docs)]
#![allow(dead_code)]
#![no_implicit_prelude]

extern crate cspace;
extern crate std;

use ::cspace::{Gc, GcCell, IObject, Rootable, Slot, Static};
use ::std::any::TypeId;
use ::std::boxed::Box;
use ::std::clone::Clone;
use ::std::cmp::{Eq, PartialEq};
use ::std::collections::{HashMap, VecDeque};
use ::std::fmt::Debug;
use ::std::hash::Hash;
use ::std::iter::Iterator;
use ::std::marker::{Copy, PhantomData, Send, Sized, Sync};
use ::std::option::Option;
use ::std::string::String;
use ::std::vec::Vec;
use ::std::{assert, assert_eq, assert_ne};

/// A crate may have these names for itself.
#[allow(non_camel_case_types)]
mod hostile {
    pub struct bool;
    pub struct str;
    pub mod core {}
    pub mod std {}
}

#[allow(unused_imports)]
use hostile::{bool, core, str};

macro_rules! object {
    ($name:ident, $brand:lifetime, $ty:ty) => {
        #[derive(IObject)]
        struct $name<$brand> {
            value: Gc<$brand, u8>,
            other: $ty,
        }
    };
}
object!(FromMacro, 'q, Option<Gc<'q, FromMacro<'q>>>);

mod forms {
    use super::*;

    #[derive(IObject)]
    pub struct Unit;

    #[derive(IObject)]
    pub struct Braces {}

    #[derive(IObject)]
    pub enum Never {}

    #[derive(IObject)]
    pub struct Config {
        pub size: u64,
        pub name: String,
        #[cspace(skip)]
        pub hook: fn(u8) -> u8,
    }

    #[derive(IObject)]
    pub struct Node<'gc> {
        pub next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
        pub others: Vec<Gc<'gc, Other<'gc>>>,
        pub itself: PhantomData<Self>,
        #[cfg(any())]
        pub absent: ::std::rc::Rc<u8>,
        #[cfg(all())]
        pub present: u8,
    }

    #[derive(IObject)]
    pub struct Other<'x>(
        pub Option<Gc<'x, Node<'x>>>,
        #[cspace(skip)] pub &'static u8,
        pub Slot<'x, Option<Gc<'x, Self>>>,
    );

    #[derive(IObject)]
    #[cspace(name = "either")]
    pub enum Choice<'gc> {
        R,
        NAME(Gc<'gc, u8>, #[cspace(skip)] &'static u8, Gc<'gc, u64>),
        Record { r#fn: Gc<'gc, Choice<'gc>>, n: u8 },
        Empty(),
        EmptyBraces {},
    }

    #[derive(IObject)]
    pub struct r#Loop<'gc> {
        pub r#in: Gc<'gc, u8>,
    }

    #[derive(IObject)]
    pub struct Containers<'gc> {
        pub map: HashMap<Vec<u64>, Gc<'gc, Containers<'gc>>>,
        pub tuple: (u64, Option<Box<Containers<'gc>>>),
        pub array: VecDeque<[Option<Gc<'gc, Node<'gc>>>; 3]>,
        pub code: Static<for<'a> fn(&'a u8) -> &'a u8>,
    }

    /// A name that the expansion would have chosen.
    #[derive(IObject)]
    pub struct UserFamily(pub u8);

    #[derive(IObject)]
    pub struct User<'gc>(pub Gc<'gc, UserFamily>);

    pub(super) mod restricted {
        use super::*;

        #[derive(IObject)]
        pub(in super::super) struct Up<'gc>(Gc<'gc, Private<'gc>>);

        #[derive(IObject)]
        struct Private<'gc>(Gc<'gc, Up<'gc>>);
    }
}

mod generics {
    use super::*;

    #[derive(IObject)]
    pub struct Tree<'gc, T> {
        pub children: GcCell<'gc, Vec<Gc<'gc, Tree<'gc, T>>>>,
        pub value: T,
    }

    #[derive(IObject)]
    pub struct Here<'gc, T> {
        pub there: Slot<'gc, Option<Gc<'gc, There<'gc, T>>>>,
    }

    #[derive(IObject)]
    pub struct There<'gc, T> {
        pub here: Slot<'gc, Option<Gc<'gc, Here<'gc, T>>>>,
        pub value: T,
    }

    #[derive(IObject)]
    pub struct Inline<'gc, T: IObject<'gc> + 'gc>(pub Gc<'gc, T>, pub Vec<Gc<'gc, Inline<'gc, T>>>);

    #[derive(IObject)]
    pub struct Pair<A, B = u64>(pub A, pub B)
    where
        Vec<A>: Debug,
        B: Copy + Debug,
        Self: Sized;

    #[derive(IObject)]
    pub struct Constants<S: Send + Sync + 'static, const N: usize = 2> {
        pub value: Static<S>,
        pub bytes: [u8; N],
    }

    #[derive(IObject)]
    pub struct Mixed<'gc, T, S>
    where
        S: Clone + Send + Sync + 'static,
    {
        pub object: Gc<'gc, T>,
        pub data: Static<S>,
    }

    #[derive(IObject)]
    pub struct Stream<'gc, T>
    where
        T: Iterator,
        Vec<<T as Iterator>::Item>: Debug,
    {
        pub source: Gc<'gc, T>,
    }

    /// A bound that has the brand in it.
    pub trait Branded<'a> {}
    impl<'a> Branded<'a> for Gc<'a, u64> {}

    #[derive(IObject)]
    pub struct WithBranded<'gc, T: Branded<'gc>>(pub T, pub Gc<'gc, u8>);

    #[derive(IObject)]
    pub struct Table<'gc, K: Hash + Eq, V> {
        pub entries: Vec<Entry<'gc, K, V>>,
        pub parent: Slot<'gc, Option<Gc<'gc, Table<'gc, K, V>>>>,
        pub last: Option<V>,
    }

    #[derive(IObject)]
    pub struct Entry<'gc, K: PartialEq, V> {
        pub key: Gc<'gc, K>,
        pub value: GcCell<'gc, V>,
    }
}

use forms::*;
use generics::*;

fn family<'gc, T: IObject<'gc>>() -> TypeId {
    TypeId::of::<T::R>()
}

fn families_are_identities<'gc>() {
    assert_eq!(family::<Node<'gc>>(), TypeId::of::<Rootable![Node<'_>]>());
    assert_ne!(family::<Node<'gc>>(), family::<Other<'gc>>());
    assert_eq!(family::<Config>(), TypeId::of::<Config>());
    assert_eq!(family::<Constants<u8>>(), TypeId::of::<Constants<u8, 2>>());
    assert_eq!(
        family::<Vec<Gc<'gc, Node<'gc>>>>(),
        TypeId::of::<Rootable![Vec<Gc<'_, Node<'_>>>]>()
    );
    assert_eq!(
        family::<(Other<'gc>, u64)>(),
        TypeId::of::<Rootable![(Other<'_>, u64)]>()
    );
    assert_eq!(
        family::<Tree<'gc, Gc<'gc, u8>>>(),
        TypeId::of::<Rootable![Tree<'_, Gc<'_, u8>>]>()
    );
    assert_ne!(
        family::<Tree<'gc, u64>>(),
        family::<Tree<'gc, Gc<'gc, u64>>>()
    );
    assert_eq!(
        family::<Table<'gc, String, Gc<'gc, u8>>>(),
        TypeId::of::<Rootable![Table<'_, String, Gc<'_, u8>>]>()
    );
    assert_eq!(
        family::<Mixed<'gc, Node<'gc>, &'static u8>>(),
        TypeId::of::<Rootable![Mixed<'_, Node<'_>, &'static u8>]>()
    );
    assert_eq!(family::<Pair<u8>>(), family::<Pair<u8, u64>>());
    family::<Here<'gc, Vec<Gc<'gc, u8>>>>();
    family::<Inline<'gc, Node<'gc>>>();
    family::<WithBranded<'gc, Gc<'gc, u64>>>();
    family::<restricted::Up<'gc>>();
    family::<FromMacro<'gc>>();
    family::<User<'gc>>();

    #[derive(IObject)]
    struct Local<'gc>(Gc<'gc, Local<'gc>>);
    assert_ne!(family::<Local<'gc>>(), family::<FromMacro<'gc>>());
}

fn main() {
    families_are_identities();

    assert_eq!(<Choice<'_> as IObject<'_>>::NAME, "either");
    assert_eq!(<Loop<'_> as IObject<'_>>::NAME, "Loop");
    assert_eq!(<Loop<'_> as IObject<'_>>::FIELDS, ["in"]);
    assert_eq!(
        <Node<'_> as IObject<'_>>::FIELDS,
        ["next", "others", "itself", "present"]
    );
    assert_eq!(<Other<'_> as IObject<'_>>::FIELDS, ["0", "2"]);
    assert_eq!(
        <Choice<'_> as IObject<'_>>::FIELDS,
        ["NAME.0", "NAME.2", "Record.fn", "Record.n"]
    );

    assert!(<Node<'_> as IObject<'_>>::NEEDS_VISIT);
    assert!(!<Constants<String> as IObject<'_>>::NEEDS_VISIT);
    assert!(!<Never as IObject<'_>>::NEEDS_VISIT);
}
