//! A slot is read with a token of its own space.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let slot = in_a.alloc(Slot::new(1u64));
            slot.get(in_a);
            slot.get(in_b); // refused
        })
    });
}
