//! Properties: what a site does when its cache does not have the answer.

use cspace::{Alloc, Exclusive, Gc, HeapFull};

use super::interpret::Exit;
use crate::object::{
    add_overflow, get_overflow, set_overflow, BoundMethod, Class, Closure, Instance, LoxString,
    Site,
};
use crate::shape::Shape;
use crate::value::Value;

/// How many slots for fields a class may learn to give to each instance, from the first that needs
/// them: other instances may have fewer fields.
const LEARNED_SLOTS_MAX: u32 = 8;

impl From<HeapFull> for Exit {
    fn from(_: HeapFull) -> Self {
        Exit::HeapFull
    }
}

pub(super) fn undefined_property(name: Gc<'_, LoxString>) -> Exit {
    let name = String::from_utf8_lossy(name.elems());
    Exit::Failed(format!("Undefined property '{name}'."))
}

/// What an instance has under a name.
enum Property<'gc> {
    Field(Value<'gc>),
    Method(Gc<'gc, Closure<'gc>>),
}

/// What is called by an `INVOKE`.
pub(super) enum Callee<'gc> {
    /// A function in a field; it does not get the receiver.
    Value(Value<'gc>),
    Method(Gc<'gc, Closure<'gc>>),
}

/// The value of a property: a field, or a method bound to the instance.
#[inline(never)]
pub(super) fn get_property<'gc>(
    cx: &Exclusive<'gc>,
    site: &Site<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
) -> Result<Value<'gc>, Exit> {
    match find_property(cx, site, instance)? {
        Property::Field(value) => Ok(value),
        Property::Method(method) => bind(cx, Value::from_gc(instance), method),
    }
}

/// What `instance.name(...)` calls.
#[inline(never)]
pub(super) fn find_callee<'gc>(
    cx: &Exclusive<'gc>,
    site: &Site<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
) -> Result<Callee<'gc>, Exit> {
    Ok(match find_property(cx, site, instance)? {
        Property::Field(value) => Callee::Value(value),
        Property::Method(method) => Callee::Method(method),
    })
}

/// A bound method as a value. Each one is new.
pub(super) fn bind<'gc>(
    cx: &Alloc<'gc>,
    receiver: Value<'gc>,
    method: Gc<'gc, Closure<'gc>>,
) -> Result<Value<'gc>, Exit> {
    let bound = cx.try_alloc(BoundMethod { receiver, method });
    Ok(Value::from_gc(bound.map_err(|error| error.cause)?))
}

fn find_property<'gc>(
    cx: &Exclusive<'gc>,
    site: &Site<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
) -> Result<Property<'gc>, Exit> {
    let shape = instance.shape.get(cx);
    if let Some(entry) = site.find(cx, shape) {
        return Ok(match entry.method(cx) {
            Some(method) => Property::Method(method),
            None => Property::Field(get_field(cx, instance, entry.index(cx), entry.room(cx))),
        });
    }
    if let Some(index) = shape.index_of(cx, site.name) {
        let room = shape.room(cx, index);
        if shape.is_shared {
            site.add_field(cx, shape, index, room, None);
        }
        return Ok(Property::Field(get_field(cx, instance, index, room)));
    }
    let Some(method) = shape.class.find_method(cx, site.name) else {
        return Err(undefined_property(site.name));
    };
    if shape.is_shared {
        site.add_method(cx, shape, method);
    }
    Ok(Property::Method(method))
}

fn get_field<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    index: u32,
    room: u32,
) -> Value<'gc> {
    let slots = instance.elems();
    if room as usize <= slots.len() {
        slots[index as usize].get(cx)
    } else {
        get_overflow(cx, instance, index)
    }
}

/// Sets a field, which is added if the instance does not have it.
#[inline(never)]
pub(super) fn set_property<'gc>(
    cx: &mut Exclusive<'gc>,
    site: &Site<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    value: Value<'gc>,
) -> Result<(), Exit> {
    let shape = instance.shape.get(cx);
    if let Some(entry) = site.find(cx, shape) {
        let index = entry.index(cx);
        match entry.next(cx) {
            None => set_field(cx, instance, index, entry.room(cx), value),
            Some(next) => add_field(cx, instance, index, value, next)?,
        }
        return Ok(());
    }
    if let Some(index) = shape.index_of(cx, site.name) {
        let room = shape.room(cx, index);
        if shape.is_shared {
            site.add_field(cx, shape, index, room, None);
        }
        set_field(cx, instance, index, room, value);
        return Ok(());
    }

    let index = shape.count(cx);
    if !shape.is_shared {
        // The field first: that may fail, and then nothing must have changed.
        add_field(cx, instance, index, value, shape)?;
        shape.append(cx, site.name);
        return Ok(());
    }
    let next = Shape::extend(shape, cx, site.name)?;
    learn_slots(cx, shape.class, index + 1);
    if next.is_shared {
        site.add_field(cx, shape, index, index + 1, Some(next));
    }
    Ok(add_field(cx, instance, index, value, next)?)
}

fn set_field<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    index: u32,
    room: u32,
    value: Value<'gc>,
) {
    let slots = instance.elems();
    if room as usize <= slots.len() {
        slots[index as usize].set(cx, value);
    } else {
        set_overflow(cx, instance, index, value);
    }
}

fn add_field<'gc>(
    cx: &Alloc<'gc>,
    instance: Gc<'gc, Instance<'gc>>,
    index: u32,
    value: Value<'gc>,
    next: Gc<'gc, Shape<'gc>>,
) -> Result<(), HeapFull> {
    match instance.elems().get(index as usize) {
        Some(slot) => slot.set(cx, value),
        None => add_overflow(cx, instance, index, value)?,
    }
    instance.shape.set(cx, next);
    Ok(())
}

/// Has new instances of `class` made with as many slots as fields were needed, within reason.
fn learn_slots<'gc>(cx: &Alloc<'gc>, class: Gc<'gc, Class<'gc>>, count: u32) {
    if count <= LEARNED_SLOTS_MAX && count > class.inline_slots.get(cx) {
        class.inline_slots.set(cx, count);
    }
}

/// The method of `superclass` that a `super` expression names.
#[inline(always)]
pub(super) fn super_method<'gc>(
    cx: &Exclusive<'gc>,
    site: &Site<'gc>,
    superclass: Gc<'gc, Class<'gc>>,
) -> Result<Gc<'gc, Closure<'gc>>, Exit> {
    // Which class it is, is known by the shape of its new instances.
    let shape = superclass.empty_shape(cx);
    if let Some(method) = site.find(cx, shape).and_then(|entry| entry.method(cx)) {
        return Ok(method);
    }
    let Some(method) = superclass.find_method(cx, site.name) else {
        return Err(undefined_property(site.name));
    };
    site.add_method(cx, shape, method);
    Ok(method)
}
