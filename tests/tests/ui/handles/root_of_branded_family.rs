//! A root names the family, not the type for some brand.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
}

struct Machine {
    head: Option<GcRoot<Rootable![Node<'_>]>>,
    tail: Option<GcRoot<Node<'static>>>, // refused
}

fn main() {}
