//! `Buffer(size)`: bytes outside of the heap, which the collector frees.
//!
//! `get(index)` and `set(index, byte)` read and write one byte, from 0 to 255; `slice(from, to)` gives a buffer that is
//! a part of this one; `fill(byte)` writes all; `length()` says how many there are. `free()` gives the bytes back at
//! once, for all slices.

use cspace::native::{AllocateError, BufferError, ByteOrder, DirectBuffer};
use cspace::{Gc, IObject};

use super::{Call, NativeClass, NativeError, NativeFunction, Returned};
use crate::value::Value;

pub(super) static BUFFER: NativeClass = NativeClass {
    constructor: NativeFunction { name: "Buffer", arity: Some(1), code: new },
    methods: &[
        NativeFunction { name: "get", arity: Some(1), code: get },
        NativeFunction { name: "set", arity: Some(2), code: set },
        NativeFunction { name: "slice", arity: Some(2), code: slice },
        NativeFunction { name: "fill", arity: Some(1), code: fill },
        NativeFunction { name: "length", arity: Some(0), code: length },
        NativeFunction { name: "free", arity: Some(0), code: free },
    ],
};

/// A buffer, or a part of one.
#[derive(IObject)]
pub(crate) struct Buffer<'gc> {
    bytes: DirectBuffer<'gc>,
}

/// A whole number from 0, if the value is one that can count bytes.
pub(super) fn whole(value: Value<'_>) -> Option<usize> {
    let number = value.as_f64()?;
    // Above this not every whole number is one of Lox.
    (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number))
        .then_some(number as usize)
}

fn byte(value: Value<'_>) -> Result<u8, NativeError> {
    match whole(value).map(u8::try_from) {
        Some(Ok(byte)) => Ok(byte),
        _ => NativeError::failed("A byte must be a whole number from 0 to 255."),
    }
}

pub(super) fn index(value: Value<'_>) -> Result<usize, NativeError> {
    match whole(value) {
        Some(index) => Ok(index),
        None => NativeError::failed("An index must be a whole number, at least 0."),
    }
}

impl From<BufferError> for NativeError {
    fn from(error: BufferError) -> Self {
        NativeError::Failed(match error {
            BufferError::Freed => "The buffer was freed.".into(),
            BufferError::OutOfRange { of, .. } => {
                format!("The index is out of range: there are {of} bytes.")
            }
            error => format!("The buffer cannot be used: {error}."),
        })
    }
}

fn new<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let Some(size) = whole(call.arguments[0]) else {
        return NativeError::failed("The size of a buffer must be a whole number, at least 0.");
    };
    let bytes = DirectBuffer::allocate(call.cx, size).map_err(|error| match error {
        // Both may be otherwise after a collection.
        AllocateError::Memory(_) | AllocateError::Heap(_) => NativeError::HeapFull,
        error => NativeError::Failed(format!("There can be no buffer of {size} bytes: {error}.")),
    })?;
    object(&call, bytes)
}

fn object<'gc>(call: &Call<'_, 'gc>, bytes: DirectBuffer<'gc>) -> Returned<'gc> {
    let buffer = call.cx.try_alloc(Buffer { bytes }).map_err(|error| error.cause)?;
    Ok(Value::from_gc(buffer))
}

fn receiver<'gc>(call: &Call<'_, 'gc>) -> Gc<'gc, Buffer<'gc>> {
    call.receiver.downcast::<Buffer<'gc>>().expect("its class has the method")
}

fn get<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let at = index(call.arguments[0])?;
    let byte: u8 = receiver(&call).bytes.get(&*call.cx, at, ByteOrder::Native)?;
    Ok(Value::from_f64(byte.into()))
}

fn set<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let (at, byte) = (index(call.arguments[0])?, byte(call.arguments[1])?);
    receiver(&call).bytes.set(call.cx, at, byte, ByteOrder::Native)?;
    Ok(call.arguments[1])
}

fn slice<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let (from, to) = (index(call.arguments[0])?, index(call.arguments[1])?);
    let part = receiver(&call).bytes.slice(from..to)?;
    object(&call, part)
}

fn fill<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let byte = byte(call.arguments[0])?;
    receiver(&call).bytes.bytes_mut(call.cx)?.fill(byte);
    Ok(call.receiver)
}

fn length<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    Ok(Value::from_f64(receiver(&call).bytes.len() as f64))
}

fn free<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    receiver(&call).bytes.free(call.cx)?;
    Ok(Value::NIL)
}
