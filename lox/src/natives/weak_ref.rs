//! `WeakRef(object)`: a reference that does not keep its object alive.
//!
//! `get()` gives the object, or nil if a collection found that nothing else holds it. What it gives is held by
//! whoever has it, like any other value.

use cspace::{Alloc, Exclusive, GcWeak, IObject};

use super::buffer::Buffer;
use super::cache::Cache;
use super::map_file::MappedFile;
use super::memory::Memory;
use super::{BoundNative, Call, Native, NativeClass, NativeError, NativeFunction, Returned};
use crate::object::{BoundMethod, Class, Closure, Instance, LoxString};
use crate::value::Value;

pub(super) static WEAK_REF: NativeClass = NativeClass {
    constructor: NativeFunction { name: "WeakRef", arity: Some(1), code: new },
    methods: &[NativeFunction { name: "get", arity: Some(0), code: get }],
};

macro_rules! weak_ref {
    ($($kind:ident: $type:ty),* $(,)?) => {
        /// A weak reference to an object of any kind that a program may see.
        #[derive(IObject)]
        pub(crate) enum WeakRef<'gc> {
            $($kind(GcWeak<'gc, $type>)),*
        }

        impl<'gc> WeakRef<'gc> {
            /// A weak reference to the object that the value is.
            fn downgrade(cx: &Alloc<'gc>, value: Value<'gc>) -> Result<Self, NativeError> {
                $(if let Some(object) = value.downcast::<$type>() {
                    return Ok(WeakRef::$kind(cx.try_downgrade(object)?));
                })*
                NativeError::failed("Numbers, booleans and nil cannot be referred to weakly.")
            }

            /// The object, or nil.
            fn upgrade(&self, cx: &Exclusive<'gc>) -> Value<'gc> {
                match self {
                    $(WeakRef::$kind(weak) => weak.upgrade(cx).map_or(Value::NIL, Value::from_gc)),*
                }
            }
        }
    };
}

weak_ref! {
    Instance: Instance<'gc>,
    String: LoxString,
    Closure: Closure<'gc>,
    Class: Class<'gc>,
    BoundMethod: BoundMethod<'gc>,
    Weak: WeakRef<'gc>,
    Cache: Cache<'gc>,
    Buffer: Buffer<'gc>,
    MappedFile: MappedFile<'gc>,
    Memory: Memory,
    Native: Native,
    BoundNative: BoundNative<'gc>,
}

fn new<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let weak = WeakRef::downgrade(call.cx, call.arguments[0])?;
    let weak = call.cx.try_alloc(weak).map_err(|error| error.cause)?;
    Ok(Value::from_gc(weak))
}

fn get<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let weak = call.receiver.downcast::<WeakRef<'gc>>().expect("its class has the method");
    Ok(weak.upgrade(call.cx))
}
