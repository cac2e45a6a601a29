//! Two cells are borrowed mutably with `borrow_mut2`, which checks that they are two.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let (a, b) = (cx.alloc(GcCell::new(1u64)), cx.alloc(GcCell::new(2u64)));
        let first = a.borrow_mut(cx);
        let second = &mut 0;
        let second = b.borrow_mut(cx); // refused
        std::mem::swap(first, second);
    });
}
