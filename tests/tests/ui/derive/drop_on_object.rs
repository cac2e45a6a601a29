//! An object has no destructor of its own.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    next: Option<Gc<'gc, Node<'gc>>>,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {}
}

fn main() {}
