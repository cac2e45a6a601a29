//! The kinds of objects that programs make, and one handle for all of them.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{
    Access, Alloc, CellAccess, Exclusive, Gc, GcAny, GcCell, GcRoot, GcWeak, IObject, NanBox,
    RootStack, Rootable, Slot, Static, Tail, Visitor, WeakSet,
};

use crate::tracker::Tracker;

/// A node without drop glue.
#[derive(IObject)]
pub struct Plain<'gc> {
    pub number: u32,
    pub slots: [Slot<'gc, Option<GcAny<'gc>>>; 2],
}

/// A node that owns memory outside of the heap.
#[derive(IObject)]
pub struct Bag<'gc> {
    pub number: u32,
    pub tracker: Static<Tracker>,
    pub items: GcCell<'gc, Vec<GcAny<'gc>>>,
}

/// The header of a row: an object with as many slots as it likes.
#[derive(IObject)]
pub struct RowHead {
    pub number: u32,
    pub tracker: Static<Tracker>,
}

pub type Row<'gc> = Tail<RowHead, Slot<'gc, Option<GcAny<'gc>>>>;

/// An object larger than the largest cell.
#[derive(IObject)]
pub struct Big<'gc> {
    pub number: u32,
    pub tracker: Static<Tracker>,
    pub slot: Slot<'gc, Option<GcAny<'gc>>>,
    pub padding: [u64; 1100],
}

/// An object with values of a dynamic language, without drop glue.
#[derive(IObject)]
pub struct Values<'gc> {
    pub number: u32,
    pub values: [Slot<'gc, NanBox<'gc>>; 3],
}

/// An object with more alignment than the heap's granule.
#[derive(IObject)]
#[repr(align(256))]
pub struct Wide<'gc> {
    pub number: u32,
    pub slot: Slot<'gc, Option<GcAny<'gc>>>,
}

/// A node whose edges never change.
#[derive(IObject)]
pub struct Pair<'gc> {
    pub number: u32,
    pub parts: [Option<GcAny<'gc>>; 2],
}

/// An object with as many edges as it likes, none of which changes.
pub type Record<'gc> = Tail<RowHead, Option<GcAny<'gc>>>;

/// A leaf that the collector does not look into.
#[derive(IObject)]
pub struct Leaf {
    pub number: u32,
    pub tracker: Static<Tracker>,
}

/// A run of bytes without drop glue: what is interned.
pub type Text = Tail<u32, u8>;

/// An object with weak references.
#[derive(IObject)]
pub struct Watch<'gc> {
    pub number: u32,
    pub tracker: Static<Tracker>,
    pub weaks: [Slot<'gc, Option<Weak<'gc>>>; 2],
}

/// An object with a weak set.
#[derive(IObject)]
pub struct Names<'gc> {
    pub number: u32,
    pub tracker: Static<Tracker>,
    pub set: GcCell<'gc, WeakSet<'gc, Text>>,
}

/// What an owned root holds: the stacks and tables of an interpreter.
#[derive(IObject)]
pub struct Machine<'gc> {
    pub hook: Hook,
    pub tracker: Static<Tracker>,
    pub things: Vec<GcAny<'gc>>,
    pub stack: RootStack<NanBox<'gc>>,
    pub names: WeakSet<'gc, Text>,
    pub weaks: Vec<Weak<'gc>>,
}

macro_rules! kinds {
    ($($kind:ident: $type:ty, $family:ty;)*) => {
        /// The kinds that a program chooses from, and the weak cells that come with weak references.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Kind {
            $($kind,)*
            Cell,
            Hook,
        }

        pub const KINDS: &[Kind] = &[$(Kind::$kind),*];

        /// A handle on an object of any of the kinds.
        #[derive(Clone, Copy)]
        pub enum Object<'gc> {
            $($kind(Gc<'gc, $type>),)*
        }

        /// A weak reference to an object of any of the kinds.
        #[derive(Clone, Copy, IObject)]
        pub enum Weak<'gc> {
            $($kind(GcWeak<'gc, $type>),)*
        }

        /// A root of any of the kinds.
        #[derive(Clone)]
        pub enum Root {
            $($kind(GcRoot<$family>),)*
        }

        impl<'gc> Object<'gc> {
            pub fn from_any(any: GcAny<'gc>) -> Option<Object<'gc>> {
                $(if let Some(object) = any.downcast::<$type>() {
                    return Some(Object::$kind(object));
                })*
                None
            }

            pub fn any(self) -> GcAny<'gc> {
                match self {
                    $(Object::$kind(object) => GcAny::new(object),)*
                }
            }

            pub fn kind(self) -> Kind {
                match self {
                    $(Object::$kind(_) => Kind::$kind,)*
                }
            }

            pub fn root(self, cx: &Alloc<'gc>) -> Root {
                match self {
                    $(Object::$kind(object) => Root::$kind(cx.root(object)),)*
                }
            }

            pub fn root_shared(self, cx: &cspace::Shared<'gc>) -> Root {
                match self {
                    $(Object::$kind(object) => Root::$kind(cx.root(object)),)*
                }
            }

            pub fn downgrade(self, cx: &Alloc<'gc>) -> Weak<'gc> {
                match self {
                    $(Object::$kind(object) => Weak::$kind(cx.downgrade(object)),)*
                }
            }

            pub fn add_to_root_set(self, cx: &Alloc<'gc>) -> bool {
                match self {
                    $(Object::$kind(object) => cx.add_gc_root(object).is_ok(),)*
                }
            }

            pub fn remove_from_root_set(self, cx: &Alloc<'gc>) -> bool {
                match self {
                    $(Object::$kind(object) => cx.remove_gc_root(object).is_ok(),)*
                }
            }
        }

        impl<'gc> Weak<'gc> {
            pub fn upgrade(self, cx: &impl Access<'gc>) -> Option<Object<'gc>> {
                match self {
                    $(Weak::$kind(weak) => weak.upgrade(cx).map(Object::$kind),)*
                }
            }
        }

        impl Root {
            pub fn get<'gc>(&self, cx: &impl Access<'gc>) -> Object<'gc> {
                match self {
                    $(Root::$kind(root) => Object::$kind(root.get(cx)),)*
                }
            }
        }
    };
}

kinds! {
    Plain: Plain<'gc>, Rootable![Plain<'_>];
    Bag: Bag<'gc>, Rootable![Bag<'_>];
    Row: Row<'gc>, Rootable![Row<'_>];
    Big: Big<'gc>, Rootable![Big<'_>];
    Values: Values<'gc>, Rootable![Values<'_>];
    Wide: Wide<'gc>, Rootable![Wide<'_>];
    Pair: Pair<'gc>, Rootable![Pair<'_>];
    Record: Record<'gc>, Rootable![Record<'_>];
    Leaf: Leaf, Rootable![Leaf];
    Text: Text, Rootable![Text];
    Watch: Watch<'gc>, Rootable![Watch<'_>];
    Names: Names<'gc>, Rootable![Names<'_>];
}

impl Kind {
    /// Whether objects of the kind have slots that can be set.
    pub fn has_slots(self) -> bool {
        !matches!(self, Kind::Pair | Kind::Record)
    }
}

/// What a slot holds.
#[derive(Clone, Copy)]
pub enum Held<'gc> {
    Nothing,
    Number(u32),
    Object(GcAny<'gc>),
}

impl<'gc> From<Option<GcAny<'gc>>> for Held<'gc> {
    fn from(slot: Option<GcAny<'gc>>) -> Self {
        slot.map_or(Held::Nothing, Held::Object)
    }
}

impl<'gc> From<NanBox<'gc>> for Held<'gc> {
    fn from(value: NanBox<'gc>) -> Self {
        match (value.as_any(), value.as_f64()) {
            (Some(object), _) => Held::Object(object),
            (_, Some(number)) => Held::Number(number as u32),
            _ => Held::Nothing,
        }
    }
}

impl<'gc> Held<'gc> {
    pub fn object(self) -> Option<GcAny<'gc>> {
        match self {
            Held::Object(object) => Some(object),
            _ => None,
        }
    }

    pub fn nan_box(self) -> NanBox<'gc> {
        match self {
            Held::Nothing => NanBox::NIL,
            Held::Number(number) => NanBox::from_f64(f64::from(number)),
            Held::Object(object) => NanBox::from_any(object),
        }
    }
}

impl<'gc> Object<'gc> {
    pub fn number(self) -> u32 {
        match self {
            Object::Plain(o) => o.as_ref().number,
            Object::Bag(o) => o.as_ref().number,
            Object::Row(o) => o.header().number,
            Object::Big(o) => o.as_ref().number,
            Object::Values(o) => o.as_ref().number,
            Object::Wide(o) => o.as_ref().number,
            Object::Pair(o) => o.as_ref().number,
            Object::Record(o) => o.header().number,
            Object::Leaf(o) => o.as_ref().number,
            Object::Text(o) => *o.header(),
            Object::Watch(o) => o.as_ref().number,
            Object::Names(o) => o.as_ref().number,
        }
    }

    /// The number of the object's tracker; objects without drop glue have none.
    pub fn tracker(self) -> Option<&'gc Tracker> {
        Some(match self {
            Object::Bag(o) => &o.as_ref().tracker,
            Object::Row(o) => &o.header().tracker,
            Object::Record(o) => &o.header().tracker,
            Object::Big(o) => &o.as_ref().tracker,
            Object::Leaf(o) => &o.as_ref().tracker,
            Object::Watch(o) => &o.as_ref().tracker,
            Object::Names(o) => &o.as_ref().tracker,
            _ => return None,
        })
    }

    /// What the object refers to, in order.
    pub fn edges<C: Access<'gc> + CellAccess<'gc>>(self, cx: &C) -> Vec<Held<'gc>> {
        match self {
            Object::Plain(o) => o.as_ref().slots.iter().map(|slot| slot.get(cx).into()).collect(),
            Object::Bag(o) => o.items.borrow(cx).iter().map(|&item| Held::Object(item)).collect(),
            Object::Row(o) => o.elems().iter().map(|slot| slot.get(cx).into()).collect(),
            Object::Big(o) => vec![o.slot.get(cx).into()],
            Object::Values(o) => o.as_ref().values.iter().map(|slot| slot.get(cx).into()).collect(),
            Object::Wide(o) => vec![o.slot.get(cx).into()],
            Object::Pair(o) => o.as_ref().parts.iter().map(|part| (*part).into()).collect(),
            Object::Record(o) => o.elems().iter().map(|part| (*part).into()).collect(),
            Object::Leaf(_) | Object::Text(_) | Object::Watch(_) | Object::Names(_) => Vec::new(),
        }
    }

    /// Whether the bytes that carry no reference are what they were made as.
    pub fn is_whole(self) -> bool {
        let padding_ok = match self {
            Object::Big(o) => {
                let first = u64::from(o.as_ref().number);
                o.padding[0] == first && o.padding[1099] == first
            }
            Object::Text(o) => o.elems().iter().all(|&byte| byte == text_byte(*o.header())),
            Object::Wide(o) => o.addr() % 256 == 0,
            _ => true,
        };
        padding_ok && self.tracker().is_none_or(Tracker::is_whole)
    }

    /// Changes a slot; of a bag, an item that is there.
    pub fn set(self, cx: &mut Exclusive<'gc>, index: usize, value: Held<'gc>) {
        match self {
            Object::Plain(o) => o.as_ref().slots[index].set(cx, value.object()),
            Object::Row(o) => o.elems()[index].set(cx, value.object()),
            Object::Big(o) => o.slot.set(cx, value.object()),
            Object::Values(o) => o.as_ref().values[index].set(cx, value.nan_box()),
            Object::Wide(o) => o.slot.set(cx, value.object()),
            Object::Bag(o) => {
                if let Some(object) = value.object() {
                    o.items.borrow_mut(cx)[index] = object;
                }
            }
            _ => unreachable!("the object has no slots"),
        }
    }
}

pub fn text_byte(number: u32) -> u8 {
    (number % 251) as u8
}

/// A part of an object whose visit can be made to wait for a reader.
#[derive(Clone)]
pub struct Hook(pub Arc<Turn>);

/// Whose turn it is while a reader works during a mark.
#[derive(Default)]
pub struct Turn(AtomicU32);

impl Turn {
    pub const IDLE: u32 = 0;
    /// The reader is inside.
    pub const ARMED: u32 = 1;
    /// The marker has come to the hook and waits.
    pub const MARKING: u32 = 2;
    /// The reader has done its work.
    pub const DONE: u32 = 3;

    pub fn set(&self, stage: u32) {
        self.0.store(stage, SeqCst);
    }

    /// Waits for a stage; gives up after a while, as a collection need not come to the hook.
    pub fn wait_for(&self, stage: u32) -> bool {
        let begun = Instant::now();
        while self.0.load(SeqCst) != stage {
            if begun.elapsed() > Duration::from_secs(20) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }
}

impl Rootable for Hook {
    type At<'gc> = Hook;
}
// SAFETY: there is no handle inside, and the drop touches no object.
unsafe impl<'gc> IObject<'gc> for Hook {
    type R = Hook;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        let turn = &self.0 .0;
        if turn.compare_exchange(Turn::ARMED, Turn::MARKING, SeqCst, SeqCst).is_ok() {
            self.0.wait_for(Turn::DONE);
        }
    }
}
