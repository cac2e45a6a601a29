//! The collector needs references to the fields.
use cspace::*;

#[derive(IObject)]
#[repr(C, packed)]
struct Packed<'gc> {
    tag: u8,
    node: Gc<'gc, u64>,
}

fn main() {}
