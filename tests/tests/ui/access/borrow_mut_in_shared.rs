//! A shared access borrows no cell mutably.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc(GcCell::new(1u64))));
    space.shared(|cx| {
        let cell = root.get(cx);
        cell.borrow(cx);
        cell.borrow_mut(cx); // refused
    });
}
