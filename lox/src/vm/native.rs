//! What the loop does with what is not written in Lox. None of it is on its fast paths.

use cspace::{Alloc, Exclusive, Gc};

use super::callbacks::Callbacks;
use super::interpret::{failed, wrong_arity, Exit};
use super::property::undefined_property;
use crate::natives::{class_of, BoundNative, Call, Native, NativeError, NativeFunction};
use crate::object::LoxString;
use crate::value::Value;

impl From<NativeError> for Exit {
    fn from(error: NativeError) -> Self {
        match error {
            NativeError::Failed(message) => Exit::Failed(message),
            NativeError::HeapFull => Exit::HeapFull,
        }
    }
}

/// Calls a value that is neither a function nor a class of Lox.
#[inline(never)]
pub(super) fn call<'gc>(
    cx: &mut Exclusive<'gc>,
    callee: Value<'gc>,
    arguments: &[Value<'gc>],
    callbacks: &mut Callbacks<'gc>,
) -> Result<Value<'gc>, Exit> {
    if let Some(native) = callee.downcast::<Native>() {
        run(cx, native.function(), Value::NIL, arguments, callbacks)
    } else if let Some(bound) = callee.downcast::<BoundNative<'gc>>() {
        run(cx, bound.method.0, bound.receiver, arguments, callbacks)
    } else {
        Err(failed("Can only call functions and classes."))
    }
}

/// Calls a method of a value that is no instance of a class of Lox.
#[inline(never)]
pub(super) fn invoke<'gc>(
    cx: &mut Exclusive<'gc>,
    receiver: Value<'gc>,
    name: Gc<'gc, LoxString>,
    arguments: &[Value<'gc>],
    callbacks: &mut Callbacks<'gc>,
) -> Result<Value<'gc>, Exit> {
    let class = class_of(receiver).ok_or_else(|| failed("Only instances have methods."))?;
    let method = class.method(name.elems()).ok_or_else(|| undefined_property(name))?;
    run(cx, method, receiver, arguments, callbacks)
}

fn run<'gc>(
    cx: &mut Exclusive<'gc>,
    function: &NativeFunction,
    receiver: Value<'gc>,
    arguments: &[Value<'gc>],
    callbacks: &mut Callbacks<'gc>,
) -> Result<Value<'gc>, Exit> {
    match function.arity {
        Some(arity) if arity != arguments.len() => Err(wrong_arity(arity as u32, arguments.len())),
        _ => Ok((function.code)(Call { cx, receiver, arguments, callbacks })?),
    }
}

/// The property of a value that is no instance of a class of Lox: a method bound to it. Each one is new.
#[inline(never)]
pub(super) fn property<'gc>(
    cx: &Alloc<'gc>,
    receiver: Value<'gc>,
    name: Gc<'gc, LoxString>,
) -> Result<Value<'gc>, Exit> {
    let class = class_of(receiver).ok_or_else(|| failed("Only instances have properties."))?;
    let method = class.method(name.elems()).ok_or_else(|| undefined_property(name))?;
    let bound = cx.try_alloc(BoundNative { receiver, method: cspace::Static(method) });
    Ok(Value::from_gc(bound.map_err(|error| error.cause)?))
}

/// The error of setting a field of a value that is no instance of a class of Lox.
#[cold]
#[inline(never)]
pub(super) fn no_field(receiver: Value<'_>) -> Exit {
    match class_of(receiver) {
        Some(class) => Exit::Failed(format!("{} instances have no fields.", class.name())),
        None => failed("Only instances have fields."),
    }
}
