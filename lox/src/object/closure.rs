//! Closures and the variables they capture.

use cspace::{Alloc, Gc, IObject, Slot, Tail};

use super::Function;
use crate::value::Value;

/// What a closure has besides its upvalues.
#[derive(IObject)]
pub(crate) struct ClosureHeader<'gc> {
    pub(crate) function: Gc<'gc, Function<'gc>>,
}

/// A function with the variables that it captured.
pub(crate) type Closure<'gc> = Tail<ClosureHeader<'gc>, Gc<'gc, Upvalue<'gc>>>;

/// A captured variable: on the stack as long as its block runs, then here.
#[derive(IObject)]
pub(crate) struct Upvalue<'gc> {
    /// Where on the stack it is; past its end once it has left.
    location: Slot<'gc, u32>,
    value: Slot<'gc, Value<'gc>>,
}

/// The location of a variable that has left the stack.
const CLOSED: u32 = u32::MAX;

impl<'gc> Upvalue<'gc> {
    /// A variable on the stack.
    pub(crate) fn open(location: usize) -> Self {
        Upvalue { location: Slot::new(location as u32), value: Slot::new(Value::NIL) }
    }

    /// Where on the stack the variable is; past its end if it has left.
    #[inline(always)]
    pub(crate) fn location(&self, cx: &Alloc<'gc>) -> usize {
        self.location.get(cx) as usize
    }

    #[inline(always)]
    pub(crate) fn get(&self, cx: &Alloc<'gc>, stack: &[Value<'gc>]) -> Value<'gc> {
        match stack.get(self.location(cx)) {
            Some(value) => *value,
            None => self.value.get(cx),
        }
    }

    #[inline(always)]
    pub(crate) fn set(&self, cx: &Alloc<'gc>, stack: &mut [Value<'gc>], value: Value<'gc>) {
        match stack.get_mut(self.location(cx)) {
            Some(place) => *place = value,
            None => self.value.set(cx, value),
        }
    }

    /// Takes the variable off the stack.
    pub(crate) fn close(&self, cx: &Alloc<'gc>, stack: &[Value<'gc>]) {
        self.value.set(cx, self.get(cx, stack));
        self.location.set(cx, CLOSED);
    }
}
