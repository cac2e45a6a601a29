//! What is not written in Lox: functions, and classes with their objects.
//!
//! A native gets the access, what it is called on and its arguments, and gives a value or an error. It must not
//! run Lox code itself: an inner run loop could never come to a safepoint, as its caller's frame is in the middle
//! of an access. What it wants called it hands to the machine, which calls it between two slices.
//!
//! Natives are found in globals, which programs may declare anew.

mod buffer;
mod cache;
mod class;
mod map_file;
mod memory;
mod on_collect;
mod weak_ref;

use std::sync::LazyLock;
use std::time::Instant;

use cspace::{Exclusive, HeapFull, IObject, Static};

use self::buffer::BUFFER;
use self::cache::CACHE;
pub(crate) use self::class::{class_of, BoundNative, NativeClass};
use self::map_file::MAP_FILE;
use self::memory::MEMORY;
use self::on_collect::ON_COLLECT;
use self::weak_ref::WEAK_REF;
use crate::value::Value;
use crate::vm::Callbacks;

/// A call of a native.
pub(crate) struct Call<'a, 'gc> {
    pub(crate) cx: &'a mut Exclusive<'gc>,
    /// What a method is called on; nil for functions.
    pub(crate) receiver: Value<'gc>,
    /// As many as the arity says.
    pub(crate) arguments: &'a [Value<'gc>],
    /// What the machine calls between two slices.
    pub(crate) callbacks: &'a mut Callbacks<'gc>,
}

/// Why a native gives no value.
pub(crate) enum NativeError {
    /// A runtime error with this message.
    Failed(String),
    /// There was no room. Nothing was changed: the call runs again after a collection.
    HeapFull,
}

impl NativeError {
    /// A runtime error.
    pub(crate) fn failed<T>(message: &str) -> Result<T, NativeError> {
        Err(NativeError::Failed(message.into()))
    }
}

impl From<HeapFull> for NativeError {
    fn from(_: HeapFull) -> Self {
        NativeError::HeapFull
    }
}

/// What a native gives back.
pub(crate) type Returned<'gc> = Result<Value<'gc>, NativeError>;

/// A function or a method.
pub(crate) struct NativeFunction {
    pub(crate) name: &'static str,
    /// How many arguments it takes; `None` if it looks at none of them.
    pub(crate) arity: Option<usize>,
    pub(crate) code: for<'gc> fn(Call<'_, 'gc>) -> Returned<'gc>,
}

/// What a program finds in a global.
#[derive(Clone, Copy)]
pub(crate) enum Global {
    Function(&'static NativeFunction),
    Class(&'static NativeClass),
}

impl Global {
    pub(crate) fn name(self) -> &'static str {
        self.function().name
    }

    fn function(self) -> &'static NativeFunction {
        match self {
            Global::Function(function) => function,
            Global::Class(class) => &class.constructor,
        }
    }
}

/// The same, as an object.
#[derive(IObject)]
pub(crate) struct Native {
    pub(crate) global: Static<Global>,
}

impl Native {
    /// What is called.
    pub(crate) fn function(&self) -> &'static NativeFunction {
        self.global.0.function()
    }
}

/// The natives that every program finds in its globals.
pub(crate) const NATIVES: &[Global] = &[
    Global::Function(&CLOCK),
    Global::Class(&WEAK_REF),
    Global::Class(&CACHE),
    Global::Class(&BUFFER),
    Global::Function(&MAP_FILE),
    Global::Function(&MEMORY),
    Global::Function(&ON_COLLECT),
];

/// When the process began, or soon after.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Starts the clock.
pub(crate) fn start_clock() {
    LazyLock::force(&STARTED);
}

/// `clock()`: the seconds since the process began.
static CLOCK: NativeFunction = NativeFunction {
    name: "clock",
    arity: None,
    code: |_| Ok(Value::from_f64(STARTED.elapsed().as_secs_f64())),
};
