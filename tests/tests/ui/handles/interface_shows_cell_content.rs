//! An interface shows what needs no token. Here it would show a vector in a cell, in later accesses too, where
//! the cell is borrowed mutably.
use cspace::*;

struct Content;
impl Interface for Content {
    type At<'gc> = Vec<u64>;
}

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx: &Exclusive<'_> = &*Box::leak(Box::new(lock.enter(brand)));
    let cell = cx.alloc(GcCell::new(vec![1u64]));
    let _borrowed: &Vec<u64> = cell.borrow(cx);
    let _seen: GcDyn<'_, Content> = unsize!(cell => Content); // refused
}
