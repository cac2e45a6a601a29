//! A `Mutex` would change the graph under a shared access, past every barrier.
use cspace::*;
use std::sync::Mutex;

#[derive(IObject)]
struct Node<'gc> {
    value: Gc<'gc, u64>,
    next: Mutex<Option<Gc<'gc, Node<'gc>>>>, // refused
}

fn main() {}
