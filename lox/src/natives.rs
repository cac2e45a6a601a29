//! Functions that are not written in Lox.
//!
//! A native gets the access and its arguments, and gives a value or the message of a runtime
//! error. It must not run Lox code itself: an inner run loop could never come to a safepoint, as
//! its caller's frame is in the middle of an access. A native that has to call back should instead
//! give the loop a request (what to call, with which arguments, and how to go on with the result),
//! as a further case of [`Returned`].

use std::sync::LazyLock;
use std::time::Instant;

use cspace::{Alloc, IObject, Static};

use crate::value::Value;

/// What a native gives back.
pub(crate) enum Returned<'gc> {
    Value(Value<'gc>),
}

/// The code of a native.
pub(crate) type NativeCode = for<'gc> fn(&Alloc<'gc>, &[Value<'gc>]) -> Returned<'gc>;

/// A native as an object.
#[derive(IObject)]
pub(crate) struct Native {
    pub(crate) code: Static<NativeCode>,
}

/// The natives that every program finds in its globals.
pub(crate) const NATIVES: &[(&str, NativeCode)] = &[("clock", clock)];

/// When the process began, or soon after.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Starts the clock.
pub(crate) fn start_clock() {
    LazyLock::force(&STARTED);
}

/// `clock()`: the seconds since the process began.
fn clock<'gc>(_: &Alloc<'gc>, _: &[Value<'gc>]) -> Returned<'gc> {
    Returned::Value(Value::from_f64(STARTED.elapsed().as_secs_f64()))
}
