//! Tokens of two spaces have two types: they cannot be swapped.
use cspace::*;
use std::mem;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            in_a.num_objects();
            in_b.num_objects();
            mem::swap(in_a, in_b); // refused
        })
    });
}
