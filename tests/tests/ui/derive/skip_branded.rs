//! A field that can hold a reference cannot be skipped.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    value: u64,
    #[cspace(skip)]
    next: Option<Gc<'gc, Node<'gc>>>,
}

fn main() {}
