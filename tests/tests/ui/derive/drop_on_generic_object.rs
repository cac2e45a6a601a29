//! An object has no destructor of its own, whatever its parameters are.
use cspace::*;

#[derive(IObject)]
struct Pair<'gc, T: Copy> {
    first: Gc<'gc, T>,
}

impl<'gc, T: Copy> Drop for Pair<'gc, T> {
    fn drop(&mut self) {}
}

fn main() {}
