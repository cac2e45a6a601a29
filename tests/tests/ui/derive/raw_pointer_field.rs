//! The collector does not follow raw pointers.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    next: *const Node<'gc>,
    memory: Static<*mut u8>,
    other: Gc<'gc, u8>,
}

fn main() {}
