//! A family has no brand.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    next: Gc<'gc, u64>,
}

fn take<'gc>(_: GcRoot<Rootable![Node<'gc>]>) {}

fn main() {}
