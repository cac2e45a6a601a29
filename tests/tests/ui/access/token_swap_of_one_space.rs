//! Two accesses to one space, one after the other, have two brands as well.
use cspace::*;
use std::mem;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let (mut lock_a, mut lock_b) = (a.lock(), b.lock());
    make_guard!(brand_a);
    make_guard!(brand_b);
    let mut in_a = lock_a.enter(brand_a);
    let mut in_b = lock_b.enter(brand_b);
    in_a.alloc(1u64);
    in_b.alloc(1u64);
    mem::swap(&mut *in_a, &mut *in_b); // refused
}
