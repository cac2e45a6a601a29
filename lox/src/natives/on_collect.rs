//! `onCollect(object, function)`: has a function called when an object is gone.
//!
//! The function takes no argument: the object is gone. It is called between two instructions of the program, some
//! time after a collection found that nothing holds the object; of several that are due at once, the one that was
//! registered first comes first. One that is called is not interrupted by another. An error in it is the program's.
//!
//! The machine holds the function until then, and so what that holds: an object that its own function refers to is
//! never collected. When the program ends, what is due is called first; what is not is never called.

use super::{BoundNative, Call, Native, NativeError, NativeFunction, Returned};
use crate::object::{BoundMethod, Class, Closure};
use crate::value::Value;

pub(super) static ON_COLLECT: NativeFunction =
    NativeFunction { name: "onCollect", arity: Some(2), code: on_collect };

fn on_collect<'gc>(call: Call<'_, 'gc>) -> Returned<'gc> {
    let (object, function) = (call.arguments[0], call.arguments[1]);
    let Some(object) = object.as_any() else {
        return NativeError::failed("Numbers, booleans and nil are never collected.");
    };
    if !takes_no_argument(&call, function) {
        return NativeError::failed(
            "Only functions and classes without parameters can be called then.",
        );
    }
    call.callbacks.register(call.cx, object, function)?;
    Ok(Value::NIL)
}

/// Whether a value can be called without arguments.
fn takes_no_argument<'gc>(call: &Call<'_, 'gc>, function: Value<'gc>) -> bool {
    let takes_none = |closure: &Closure<'gc>| closure.function.arity == 0;
    let native_takes_none = |native: &NativeFunction| native.arity.is_none_or(|arity| arity == 0);
    if let Some(closure) = function.downcast::<Closure<'gc>>() {
        takes_none(&closure)
    } else if let Some(class) = function.downcast::<Class<'gc>>() {
        class.initializer.get(call.cx).is_none_or(|initializer| takes_none(&initializer))
    } else if let Some(bound) = function.downcast::<BoundMethod<'gc>>() {
        takes_none(&bound.method)
    } else if let Some(native) = function.downcast::<Native>() {
        native_takes_none(native.function())
    } else if let Some(bound) = function.downcast::<BoundNative<'gc>>() {
        native_takes_none(bound.method.0)
    } else {
        false
    }
}
