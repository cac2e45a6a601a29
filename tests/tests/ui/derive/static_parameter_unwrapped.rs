//! A static parameter is not an object; `Static<T>` is.
use cspace::*;

#[derive(IObject)]
struct Boxed<'gc, T: Send + Sync + 'static> {
    next: Gc<'gc, u64>,
    value: T,
}

fn main() {}
