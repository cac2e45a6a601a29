//! The collector cannot know which field of a union is alive.
use cspace::*;

#[derive(IObject)]
union Bits<'gc> {
    number: u64,
    node: Gc<'gc, u64>,
}

fn main() {}
