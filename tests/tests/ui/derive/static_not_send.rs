//! Objects move between threads, and so does the data in them.
use cspace::*;
use std::rc::Rc;

#[derive(IObject)]
struct Node<'gc> {
    next: Gc<'gc, u64>,
    name: Static<Rc<str>>,
}

fn main() {}
