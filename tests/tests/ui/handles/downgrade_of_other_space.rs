//! A weak reference is made in the space of its object.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let object = in_a.alloc(1u64);
            in_a.downgrade(object);
            in_b.downgrade(object); // refused
        })
    });
}
