//! Classes that are not written in Lox.
//!
//! Their objects have methods and no fields, and their classes can be called and printed but not inherited from:
//! an instance of a class of Lox could not be one of theirs too.

use cspace::{IObject, Static};

use super::buffer::{Buffer, BUFFER};
use super::cache::{Cache, CACHE};
use super::map_file::{MappedFile, MAPPED_FILE};
use super::memory::{Memory, MEMORY_CLASS};
use super::weak_ref::{WeakRef, WEAK_REF};
use super::NativeFunction;
use crate::value::Value;

/// A class.
pub(crate) struct NativeClass {
    /// What a call of the class runs. It has the name of the class.
    pub(crate) constructor: NativeFunction,
    pub(crate) methods: &'static [NativeFunction],
}

impl NativeClass {
    pub(crate) fn name(&self) -> &'static str {
        self.constructor.name
    }

    pub(crate) fn method(&'static self, name: &[u8]) -> Option<&'static NativeFunction> {
        self.methods.iter().find(|method| method.name.as_bytes() == name)
    }
}

/// The class of which the value is an instance; `None` if it is of none or of one written in Lox.
pub(crate) fn class_of(value: Value<'_>) -> Option<&'static NativeClass> {
    if value.is::<WeakRef>() {
        Some(&WEAK_REF)
    } else if value.is::<Cache>() {
        Some(&CACHE)
    } else if value.is::<Buffer>() {
        Some(&BUFFER)
    } else if value.is::<MappedFile>() {
        Some(&MAPPED_FILE)
    } else if value.is::<Memory>() {
        Some(&MEMORY_CLASS)
    } else {
        None
    }
}

/// A method together with the object it was got from.
#[derive(IObject)]
pub(crate) struct BoundNative<'gc> {
    pub(crate) receiver: Value<'gc>,
    pub(crate) method: Static<&'static NativeFunction>,
}
