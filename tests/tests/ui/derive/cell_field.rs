//! A `Cell` would change the graph behind the write barrier's back.
use cspace::*;
use std::cell::Cell;

#[derive(IObject)]
struct Node<'gc> {
    next: Cell<Option<Gc<'gc, Node<'gc>>>>,
}

fn main() {}
