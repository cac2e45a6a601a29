//! `memory()`: how much memory the program has.
//!
//! It gives a `Memory`, whose methods say what was so when it was made, in bytes: `objects()`, `buffers()`, `maps()`,
//! `all()` of them together, `most()` that there were of all, and `limit()`, nil if there is none.

use cspace::{Access, Category, Gc, IObject, Static};

use super::{Call, NativeClass, NativeFunction, Returned};
use crate::value::Value;

pub(super) static MEMORY: NativeFunction =
    NativeFunction { name: "memory", arity: Some(0), code: memory };

/// Its objects come from `memory` alone, under which name programs find it.
pub(super) static MEMORY_CLASS: NativeClass = NativeClass {
    constructor: NativeFunction { name: "Memory", arity: Some(0), code: memory },
    methods: &[
        NativeFunction {
            name: "objects",
            arity: Some(0),
            code: |call| figure(call, |m| m.objects),
        },
        NativeFunction {
            name: "buffers",
            arity: Some(0),
            code: |call| figure(call, |m| m.buffers),
        },
        NativeFunction { name: "maps", arity: Some(0), code: |call| figure(call, |m| m.maps) },
        NativeFunction { name: "all", arity: Some(0), code: |call| figure(call, |m| m.all) },
        NativeFunction { name: "most", arity: Some(0), code: |call| figure(call, |m| m.most) },
        NativeFunction { name: "limit", arity: Some(0), code: limit },
    ],
};

#[derive(Clone, Copy)]
struct Figures {
    objects: usize,
    buffers: usize,
    maps: usize,
    all: usize,
    most: usize,
    limit: Option<usize>,
}

/// What was in use at a time.
#[derive(IObject)]
pub(crate) struct Memory {
    figures: Static<Figures>,
}

fn memory<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let ledger = call.cx.ledger();
    let figures = Static(Figures {
        objects: ledger.objects().bytes,
        buffers: ledger.account(Category::Buffers).bytes,
        maps: ledger.account(Category::Maps).bytes,
        all: ledger.bytes(),
        most: ledger.bytes_max(),
        limit: ledger.limit(),
    });
    let object = call.cx.try_alloc(Memory { figures }).map_err(|error| error.cause)?;
    Ok(Value::from_gc(object))
}

fn receiver<'gc>(call: &Call<'_, 'gc>) -> Gc<'gc, Memory> {
    call.receiver.downcast::<Memory>().expect("its class has the method")
}

fn figure<'gc>(call: Call<'_, 'gc>, of: fn(&Figures) -> usize) -> Returned<'gc> {
    Ok(Value::from_f64(of(&receiver(&call).figures) as f64))
}

fn limit<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let limit = receiver(&call).figures.limit;
    Ok(limit.map_or(Value::NIL, |bytes| Value::from_f64(bytes as f64)))
}
