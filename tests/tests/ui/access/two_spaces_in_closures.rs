//! A reference into one space cannot be stored in another.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let object = in_a.alloc(1u64);
            let slot = in_b.alloc(Slot::new(None));
            slot.set(in_b, Some(in_b.alloc(2u64)));
            slot.set(in_b, Some(object)); // refused
        })
    });
}
