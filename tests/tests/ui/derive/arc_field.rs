//! What an `Arc` holds has several owners, and the write barrier can be told of one.
use cspace::*;
use std::sync::Arc;

#[derive(IObject)]
struct Node<'gc> {
    edges: Arc<GcCell<'gc, Vec<Gc<'gc, Node<'gc>>>>>,
}

fn main() {}
