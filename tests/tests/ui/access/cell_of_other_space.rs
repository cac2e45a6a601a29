//! With another space's token two mutable borrows of one cell could be had.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let cell = in_a.alloc(GcCell::new(1u64));
            let first = cell.borrow_mut(in_a);
            let _second = in_b.alloc(2u64);
            let _second = cell.borrow_mut(in_b); // refused
            *first = 2;
        })
    });
}
