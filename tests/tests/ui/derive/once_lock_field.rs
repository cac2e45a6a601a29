//! A `OnceLock` would change the graph under a shared access.
use cspace::*;
use std::sync::OnceLock;

#[derive(IObject)]
struct Node<'gc> {
    next: OnceLock<Gc<'gc, Node<'gc>>>,
}

fn main() {}
