//! A parameter without `'static` is an object, which can hold a reference.
use cspace::*;

#[derive(IObject)]
struct Holder<'gc, T> {
    value: Gc<'gc, u64>,
    #[cspace(skip)]
    hidden: T,
}

fn main() {}
