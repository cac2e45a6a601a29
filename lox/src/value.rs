//! Values: what variables hold and expressions give.

use std::io::{self, Write};

use cspace::{Access, NanBox};

use crate::natives::{class_of, BoundNative, Global, Native};
use crate::number::write_number;
use crate::object::{BoundMethod, Class, Closure, Instance, LoxString};

/// A Lox value: a number, nil, a boolean, or an object.
///
/// `UNDEFINED` is no value of a program; it stands in globals that are not declared yet.
pub(crate) type Value<'gc> = NanBox<'gc>;

/// Whether a condition takes the value for false.
#[inline(always)]
pub(crate) fn is_falsey(value: Value<'_>) -> bool {
    value.is_nil() || value == Value::FALSE
}

/// Equality as programs see it: numbers as IEEE doubles, everything else by identity. Strings are
/// interned, so for them that is equality of content.
#[inline(always)]
pub(crate) fn equal<'gc>(a: Value<'gc>, b: Value<'gc>) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Writes a value as `print` shows it.
pub(crate) fn write_value<'gc>(
    out: &mut impl Write,
    cx: &impl Access<'gc>,
    value: Value<'gc>,
) -> io::Result<()> {
    if let Some(number) = value.as_f64() {
        write_number(out, number)
    } else if let Some(truth) = value.as_bool() {
        out.write_all(if truth { b"true" } else { b"false" })
    } else if let Some(string) = value.downcast::<LoxString>() {
        out.write_all(string.elems())
    } else if let Some(instance) = value.downcast::<Instance>() {
        let class = instance.shape.get(cx).class;
        out.write_all(class.name.elems())?;
        out.write_all(b" instance")
    } else if let Some(class) = value.downcast::<Class>() {
        out.write_all(class.name.elems())
    } else if let Some(closure) = value.downcast::<Closure>() {
        write_function(out, closure.function.name.map(|name| name.elems()))
    } else if let Some(bound) = value.downcast::<BoundMethod>() {
        write_function(out, bound.method.function.name.map(|name| name.elems()))
    } else if let Some(native) = value.downcast::<Native>() {
        match native.global.0 {
            Global::Function(_) => out.write_all(b"<native fn>"),
            Global::Class(class) => out.write_all(class.name().as_bytes()),
        }
    } else if value.is::<BoundNative>() {
        out.write_all(b"<native fn>")
    } else if let Some(class) = class_of(value) {
        write!(out, "{} instance", class.name())
    } else {
        out.write_all(b"nil")
    }
}

fn write_function(out: &mut impl Write, name: Option<&[u8]>) -> io::Result<()> {
    let Some(name) = name else {
        return out.write_all(b"<script>");
    };
    out.write_all(b"<fn ")?;
    out.write_all(name)?;
    out.write_all(b">")
}
