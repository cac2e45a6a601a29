//! `Cache(limit)`: values by key, of which the least recently used give way.
//!
//! `put(key, value)` puts a value in, `get(key)` gives it or nil, `remove(key)` takes it out, `count()` says how many
//! there are. A cache has at most as many as its limit; beside that, collections let go of values when those of all
//! caches are more than `--eviction-threshold`. So a program must be able to make again what it does not find.
//!
//! Keys are equal as in Lox, and are held: those of objects by identity. A value lies in a box of its own, which is
//! what gives way: what else holds the value still has it.

use std::hash::{Hash, Hasher};

use cspace::{EvictableMap, Gc, GcCell, IObject, MapLimit};

use super::{Call, NativeClass, NativeError, NativeFunction, Returned};
use crate::object::{Instance, LoxString};
use crate::value::{equal, Value};

pub(super) static CACHE: NativeClass = NativeClass {
    constructor: NativeFunction { name: "Cache", arity: Some(1), code: new },
    methods: &[
        NativeFunction { name: "get", arity: Some(1), code: get },
        NativeFunction { name: "put", arity: Some(2), code: put },
        NativeFunction { name: "remove", arity: Some(1), code: remove },
        NativeFunction { name: "count", arity: Some(0), code: count },
    ],
};

/// More entries than that are a mistake.
const LIMIT_MAX: f64 = (1u32 << 31) as f64;

/// A cache.
#[derive(IObject)]
pub(crate) struct Cache<'gc> {
    map: GcCell<'gc, EvictableMap<'gc, Key<'gc>, Boxed<'gc>>>,
}

/// A value of a cache.
#[derive(IObject)]
struct Boxed<'gc> {
    value: Value<'gc>,
}

/// A value that is found as equal values are: of the two zeros the one without a sign.
#[derive(IObject)]
struct Key<'gc>(Value<'gc>);

impl<'gc> Key<'gc> {
    fn new(value: Value<'gc>) -> Result<Self, NativeError> {
        match value.as_f64() {
            Some(number) if number.is_nan() => {
                NativeError::failed("A key must be equal to itself, which NaN is not.")
            }
            Some(0.0) => Ok(Key(Value::from_f64(0.0))),
            _ => Ok(Key(value)),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        equal(self.0, other.0)
    }
}
impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

fn new<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let limit = call.arguments[0]
        .as_f64()
        .filter(|limit| limit.fract() == 0.0 && (1.0..=LIMIT_MAX).contains(limit));
    let Some(limit) = limit else {
        return NativeError::failed("The limit of a cache must be a whole number, at least 1.");
    };
    let map = EvictableMap::with_limit(MapLimit::Entries(limit as usize));
    let cache = call.cx.try_alloc(Cache { map: GcCell::new(map) });
    Ok(Value::from_gc(cache.map_err(|error| error.cause)?))
}

fn receiver<'gc>(call: &Call<'_, 'gc>) -> Gc<'gc, Cache<'gc>> {
    call.receiver.downcast::<Cache<'gc>>().expect("its class has the method")
}

fn get<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let (cache, key) = (receiver(&call), Key::new(call.arguments[0])?);
    let found = cache.map.borrow(call.cx).get(call.cx, &key);
    Ok(found.map_or(Value::NIL, |found| found.value))
}

fn put<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let (cache, key, value) = (receiver(&call), Key::new(call.arguments[0])?, call.arguments[1]);
    let boxed = call.cx.try_alloc(Boxed { value }).map_err(|error| error.cause)?;
    let entry = call.cx.try_evictable_with_size(boxed, size_bytes(value))?;
    let (alloc, cells) = call.cx.split();
    cache.map.borrow_mut(cells).insert(alloc, key, entry);
    Ok(value)
}

fn remove<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let (cache, key) = (receiver(&call), Key::new(call.arguments[0])?);
    let (alloc, cells) = call.cx.split();
    let removed = cache.map.borrow_mut(cells).remove(alloc, &key);
    Ok(removed.map_or(Value::NIL, |removed| removed.value))
}

fn count<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let cache = receiver(&call);
    let (alloc, cells) = call.cx.split();
    let map = cache.map.borrow_mut(cells);
    map.purge(alloc);
    Ok(Value::from_f64(map.len_hint() as f64))
}

/// About how many bytes a value in a cache takes, without what it refers to.
fn size_bytes(value: Value<'_>) -> usize {
    let own = if let Some(string) = value.downcast::<LoxString>() {
        string.elems().len()
    } else if let Some(instance) = value.downcast::<Instance>() {
        size_of_val(instance.elems())
    } else {
        0
    };
    // The box, the entry, and what each object has besides.
    own + 64
}
