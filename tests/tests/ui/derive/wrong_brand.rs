//! Every reference in an object has the object's brand.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    value: Gc<'gc, u64>,
    other: Gc<'static, u64>,
}

fn main() {}
