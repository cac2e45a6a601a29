//! `mapFile(path)`: a file in memory, to read.
//!
//! It gives a `MappedFile`: `get(index)` gives a byte, `length()` says how many there are, `find(byte, from)` gives the
//! index of the next such byte, or -1; `free()` gives the file back before the collector does.

use std::fs::File;

use cspace::native::{ByteOrder, MapError, MapMode, MapRange, MappedBuffer};
use cspace::{Gc, IObject};

use super::buffer::{index, whole};
use super::{Call, NativeClass, NativeError, NativeFunction, Returned};
use crate::object::LoxString;
use crate::value::Value;

pub(super) static MAP_FILE: NativeFunction =
    NativeFunction { name: "mapFile", arity: Some(1), code: map_file };

/// Its objects come from `mapFile` alone, under which name programs find it.
pub(super) static MAPPED_FILE: NativeClass = NativeClass {
    constructor: NativeFunction { name: "MappedFile", arity: Some(1), code: map_file },
    methods: &[
        NativeFunction { name: "get", arity: Some(1), code: get },
        NativeFunction { name: "find", arity: Some(2), code: find },
        NativeFunction { name: "length", arity: Some(0), code: length },
        NativeFunction { name: "free", arity: Some(0), code: free },
    ],
};

/// A file in memory.
#[derive(IObject)]
pub(crate) struct MappedFile<'gc> {
    map: MappedBuffer<'gc>,
}

fn map_file<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let Some(path) = call.arguments[0].downcast::<LoxString>() else {
        return NativeError::failed("The path of a file must be a string.");
    };
    let path = String::from_utf8_lossy(path.elems());
    let failed = |error: &dyn std::fmt::Display| {
        NativeError::Failed(format!("Cannot map the file \"{path}\": {error}."))
    };
    let file = File::open(path.as_ref()).map_err(|error| failed(&error))?;
    let map = MappedBuffer::map(call.cx, &file, MapMode::ReadOnly, MapRange::default());
    let map = map.map_err(|error| match error {
        MapError::Memory(_) | MapError::Heap(_) => NativeError::HeapFull,
        error => failed(&error),
    })?;
    let object = call.cx.try_alloc(MappedFile { map }).map_err(|error| error.cause)?;
    Ok(Value::from_gc(object))
}

fn receiver<'gc>(call: &Call<'_, 'gc>) -> Gc<'gc, MappedFile<'gc>> {
    call.receiver.downcast::<MappedFile<'gc>>().expect("its class has the method")
}

fn get<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let at = index(call.arguments[0])?;
    let byte: u8 = receiver(&call).map.get(&*call.cx, at, ByteOrder::Native)?;
    Ok(Value::from_f64(byte.into()))
}

fn find<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let Some(Ok(byte)) = whole(call.arguments[0]).map(u8::try_from) else {
        return NativeError::failed("A byte must be a whole number from 0 to 255.");
    };
    let (map, mut from) = (receiver(&call).map, index(call.arguments[1])?);
    let mut part = [0; 4096];
    while from < map.len() {
        let part = &mut part[..(map.len() - from).min(4096)];
        map.read_at(&*call.cx, from, part)?;
        if let Some(at) = part.iter().position(|found| *found == byte) {
            return Ok(Value::from_f64((from + at) as f64));
        }
        from += part.len();
    }
    Ok(Value::from_f64(-1.0))
}

fn length<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    Ok(Value::from_f64(receiver(&call).map.len() as f64))
}

fn free<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    receiver(&call).map.free(call.cx)?;
    Ok(Value::NIL)
}
