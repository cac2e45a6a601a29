//! A weak set takes objects of its own space.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let mut names = WeakSet::new();
            names.insert(in_a, 1, in_a.alloc(1u64));
            names.insert(in_a, 2, in_b.alloc(2u64)); // refused
        })
    });
}
