//! Instances: fields in slots behind the header, and in an array if there are more than slots.
//!
//! An instance is made with as many slots as its class has learned that instances need. Which field
//! is in which slot says its shape; `n` is the number of its fields below.
//!
//! - **I1 (inline).** If `n` is at most the number of slots, field `i` is in slot `i`.
//! - **I2 (overflow).** Otherwise the last slot holds an array, the fields before it are in their
//!   slots, and it has the others in order. An instance has at least one slot.
//!
//! So field `i` is certainly in slot `i` if the instance has `i + 2` slots, or `i + 1` if `i` is
//! the last field: its *room*. With less room it is in the array.

use cspace::{Alloc, Gc, HeapFull, IObject, Slice, Slot, Tail};

use super::Class;
use crate::shape::Shape;
use crate::value::Value;

/// What an instance has besides its fields.
#[derive(IObject)]
pub(crate) struct InstanceHeader<'gc> {
    pub(crate) shape: Slot<'gc, Gc<'gc, Shape<'gc>>>,
}

/// An instance of a class.
pub(crate) type Instance<'gc> = Tail<InstanceHeader<'gc>, Slot<'gc, Value<'gc>>>;

/// The fields for which an instance has no slots.
type Overflow<'gc> = Slice<Slot<'gc, Value<'gc>>>;

/// The number of fields in the smallest overflow array, and by which factor one grows.
const OVERFLOW_MIN: usize = 4;
const OVERFLOW_GROWTH: usize = 2;

/// A new instance of `class`, without fields.
#[inline(always)]
pub(crate) fn new_instance<'gc>(
    cx: &Alloc<'gc>,
    class: &Class<'gc>,
) -> Result<Gc<'gc, Instance<'gc>>, HeapFull> {
    let header = InstanceHeader { shape: Slot::new(class.empty_shape(cx)) };
    let slots = class.inline_slots.get(cx) as usize;
    cx.try_alloc_tail(header, slots, |_| Slot::new(Value::NIL)).map_err(|error| error.cause)
}

/// The array in the last slot, and the index of its first field.
fn overflow<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
) -> (Gc<'gc, Overflow<'gc>>, usize) {
    let slots = instance.elems();
    let last = slots.len() - 1;
    let array = slots[last].get(cx).downcast::<Overflow<'gc>>();
    (array.expect("the last slot has the other fields (I2)"), last)
}

/// Gets a field for which there is not enough room inline.
#[inline(never)]
pub(crate) fn get_overflow<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    index: u32,
) -> Value<'gc> {
    let (array, first) = overflow(cx, instance);
    array.elems()[index as usize - first].get(cx)
}

/// Sets a field that the instance has, for which there is not enough room inline.
#[inline(never)]
pub(crate) fn set_overflow<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    index: u32,
    value: Value<'gc>,
) {
    let (array, first) = overflow(cx, instance);
    array.elems()[index as usize - first].set(cx, value);
}

/// Puts a new last field in place, for which there is not enough room inline. The shape is the
/// caller's to set, afterwards.
#[inline(never)]
pub(crate) fn add_overflow<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    index: u32,
    value: Value<'gc>,
) -> Result<(), HeapFull> {
    let slots = instance.elems();
    let last = &slots[slots.len() - 1];
    let at = index as usize + 1 - slots.len();
    let mut old: &[Slot<'gc, Value<'gc>>] = std::slice::from_ref(last);
    if at > 1 {
        old = overflow(cx, instance).0.elems();
        if let Some(slot) = old.get(at) {
            slot.set(cx, value);
            return Ok(());
        }
    }
    let capacity = (old.len() * OVERFLOW_GROWTH).max(OVERFLOW_MIN);
    let element = |i: usize| {
        Slot::new(match old.get(i) {
            Some(slot) => slot.get(cx),
            None => Value::NIL,
        })
    };
    let array: Gc<'gc, Overflow<'gc>> =
        cx.try_alloc_tail((), capacity, element).map_err(|error| error.cause)?;
    array.elems()[at].set(cx, value);
    last.set(cx, Value::from_gc(array));
    Ok(())
}
