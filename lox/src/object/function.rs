//! Compiled functions, and the inline caches of the places where they use properties.

use cspace::{Gc, IObject, Slice, Slot, Static};

use super::{Closure, LoxString};
use crate::bytecode::Word;
use crate::proto::UpvalueSource;
use crate::shape::Shape;
use crate::value::Value;

/// A compiled function. Programs only see closures of it.
#[derive(IObject)]
pub(crate) struct Function<'gc> {
    /// `None` for the program itself.
    pub(crate) name: Option<Gc<'gc, LoxString>>,
    pub(crate) arity: u32,
    /// Whether this is a method named `init`.
    pub(crate) is_initializer: bool,
    /// How many stack slots a call needs at most.
    pub(crate) stack_size: u32,
    pub(crate) code: Gc<'gc, Slice<Word>>,
    pub(crate) constants: Gc<'gc, Slice<Value<'gc>>>,
    pub(crate) sites: Gc<'gc, Slice<Site<'gc>>>,
    /// The source line of each instruction.
    pub(crate) lines: Gc<'gc, Slice<u32>>,
    pub(crate) upvalues: Gc<'gc, Slice<Static<UpvalueSource>>>,
}

/// A place in the code where a property is used, with what was found there the last time.
///
/// If an instance has the cached shape, then, depending on what is cached:
///
/// - a field to get or set: it is at `index`, inline if the instance has at least `room` inline
///   slots. For an assignment that adds the field `next` is the shape that the instance gets.
/// - a method to get or call: it is `method`, and `room` is `u32::MAX`, so that no field is found.
///
/// Only shared shapes are cached: others may change.
#[derive(IObject)]
pub(crate) struct Site<'gc> {
    pub(crate) name: Gc<'gc, LoxString>,
    pub(crate) shape: Slot<'gc, Option<Gc<'gc, Shape<'gc>>>>,
    pub(crate) index: Slot<'gc, u32>,
    pub(crate) room: Slot<'gc, u32>,
    pub(crate) next: Slot<'gc, Option<Gc<'gc, Shape<'gc>>>>,
    pub(crate) method: Slot<'gc, Option<Gc<'gc, Closure<'gc>>>>,
}

impl<'gc> Site<'gc> {
    pub(crate) fn new(name: Gc<'gc, LoxString>) -> Self {
        Site {
            name,
            shape: Slot::new(None),
            index: Slot::new(0),
            room: Slot::new(u32::MAX),
            next: Slot::new(None),
            method: Slot::new(None),
        }
    }
}
