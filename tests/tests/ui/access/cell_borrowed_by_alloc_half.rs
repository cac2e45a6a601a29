//! The half that allocates borrows no cells: the other half may have lent one mutably.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(1u64));
        let (_alloc, cells) = cx.split();
        let lent = cell.borrow_mut(cells);
        let _seen = cell.borrow(_alloc); // refused
        *lent = 2;
    });
}
