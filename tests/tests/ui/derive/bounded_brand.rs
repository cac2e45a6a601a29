//! A family stands for every brand, so the brand cannot be bounded.
use cspace::*;

#[derive(IObject)]
struct Node<'gc: 'static> {
    next: Gc<'gc, u64>,
}

fn main() {}
