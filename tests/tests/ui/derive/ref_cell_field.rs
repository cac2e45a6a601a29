//! A `RefCell` would change the graph under a shared access.
use cspace::*;
use std::cell::RefCell;

#[derive(IObject)]
struct Node<'gc> {
    next: RefCell<Option<Gc<'gc, Node<'gc>>>>,
}

fn main() {}
