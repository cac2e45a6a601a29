//! The brand is the only lifetime of an object.
use cspace::*;

#[derive(IObject)]
struct View<'gc, 'text> {
    node: Gc<'gc, u64>,
    text: &'text str,
}

fn main() {}
