//! In bounds, an associated type of a parameter is written with its trait.
use cspace::*;

#[derive(IObject)]
struct Stream<'gc, T: Iterator>
where
    T::Item: Copy,
{
    source: Gc<'gc, T>,
}

fn main() {}
