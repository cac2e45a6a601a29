//! A bound cannot say that an associated type depends on the brand.
use cspace::*;

#[derive(IObject)]
struct Stream<'gc, T: Iterator<Item = U>, U> {
    source: Gc<'gc, T>,
    last: Option<U>,
}

fn main() {}
