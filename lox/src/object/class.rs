//! Classes and bound methods.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use cspace::{Alloc, Exclusive, Gc, GcCell, HeapFull, IObject, Slot};

use super::{Closure, LoxString};
use crate::shape::Shape;
use crate::value::Value;

/// The most slots for fields that an instance is made with.
const INLINE_SLOTS_MAX: u32 = 64;

/// A class.
#[derive(IObject)]
pub(crate) struct Class<'gc> {
    pub(crate) name: Gc<'gc, LoxString>,
    /// Its methods, inherited ones included: a class does not change once it is declared.
    methods: GcCell<'gc, NameMap<'gc, Gc<'gc, Closure<'gc>>>>,
    pub(crate) initializer: Slot<'gc, Option<Gc<'gc, Closure<'gc>>>>,
    /// The shape of an instance without fields.
    empty_shape: Slot<'gc, Option<Gc<'gc, Shape<'gc>>>>,
    /// How many slots for fields a new instance gets: as many as its initializer sets, or more if
    /// instances turn out to need them. At least one.
    pub(crate) inline_slots: Slot<'gc, u32>,
    /// How many shared shapes there are for instances.
    pub(crate) shape_count: Slot<'gc, u32>,
}

impl<'gc> Class<'gc> {
    /// A class without methods, whose instances are expected to have this many fields.
    pub(crate) fn create(
        cx: &Alloc<'gc>,
        name: Gc<'gc, LoxString>,
        field_count: u32,
    ) -> Result<Gc<'gc, Class<'gc>>, HeapFull> {
        let class = Class {
            name,
            methods: GcCell::new(NameMap::default()),
            initializer: Slot::new(None),
            empty_shape: Slot::new(None),
            inline_slots: Slot::new(field_count.clamp(1, INLINE_SLOTS_MAX)),
            shape_count: Slot::new(0),
        };
        let class = cx.try_alloc(class).map_err(|error| error.cause)?;
        class.empty_shape.set(cx, Some(Shape::empty(cx, class)?));
        Ok(class)
    }

    /// The shape of an instance without fields.
    #[inline(always)]
    pub(crate) fn empty_shape(&self, cx: &Alloc<'gc>) -> Gc<'gc, Shape<'gc>> {
        self.empty_shape.get(cx).expect("set when the class was made")
    }

    pub(crate) fn find_method(
        &self,
        cx: &Exclusive<'gc>,
        name: Gc<'gc, LoxString>,
    ) -> Option<Gc<'gc, Closure<'gc>>> {
        self.methods.borrow(cx).get(&name).copied()
    }

    pub(crate) fn add_method(
        &self,
        cx: &mut Exclusive<'gc>,
        name: Gc<'gc, LoxString>,
        method: Gc<'gc, Closure<'gc>>,
        is_initializer: bool,
    ) {
        self.methods.borrow_mut(cx).insert(name, method);
        if is_initializer {
            self.initializer.set(cx, Some(method));
        }
    }

    /// Takes over the methods of `superclass`.
    pub(crate) fn inherit(&self, cx: &mut Exclusive<'gc>, superclass: Gc<'gc, Class<'gc>>) {
        let methods = superclass.methods.borrow(cx).clone();
        *self.methods.borrow_mut(cx) = methods;
        self.initializer.set(cx, superclass.initializer.get(cx));
        // Its fields come on top of what its own initializer sets.
        let slots = self.inline_slots.get(cx) + superclass.inline_slots.get(cx);
        self.inline_slots.set(cx, slots.min(INLINE_SLOTS_MAX));
    }
}

/// A method together with the instance it was got from.
#[derive(IObject)]
pub(crate) struct BoundMethod<'gc> {
    pub(crate) receiver: Value<'gc>,
    pub(crate) method: Gc<'gc, Closure<'gc>>,
}

/// A map from names. Names are interned, so their addresses will do.
pub(crate) type NameMap<'gc, T> = HashMap<Gc<'gc, LoxString>, T, BuildHasherDefault<AddressHasher>>;

/// Hashes one address.
#[derive(Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(byte.into());
        }
    }

    fn write_usize(&mut self, address: usize) {
        // The table takes its bits from both ends.
        let product = (self.0 ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
