//! A function pointer is not an object; `Static<fn(...)>` is.
use cspace::*;

#[derive(IObject)]
struct Native<'gc> {
    receiver: Gc<'gc, u64>,
    code: fn(u64) -> u64,
}

fn main() {}
