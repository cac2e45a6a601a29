//! Nor can it with the guard form, where both brands are lifetimes of one function.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let (mut lock_a, mut lock_b) = (a.lock(), b.lock());
    make_guard!(brand_a);
    make_guard!(brand_b);
    let in_a = lock_a.enter(brand_a);
    let in_b = lock_b.enter(brand_b);
    let object = in_a.alloc(1u64);
    let slot = in_b.alloc(Slot::new(None));
    slot.set(&in_b, Some(in_b.alloc(2u64)));
    slot.set(&in_b, Some(object)); // refused
}
