//! An object with a brand is not `'static`, so it is not `Any`.
use cspace::*;
use std::any::Any;

#[derive(IObject)]
struct Node<'gc>(Gc<'gc, u64>);

fn look<'gc>(_node: &'gc Node<'gc>) {
    let _: u64 = *_node.0;
    let _: &dyn Any = _node; // refused
}

fn main() {
    let _ = look;
}
