//! Objects move between threads, their skipped fields too.
use cspace::*;
use std::rc::Rc;

#[derive(IObject)]
struct Node<'gc> {
    next: Gc<'gc, u64>,
    #[cspace(skip)]
    name: Rc<str>,
}

fn main() {}
