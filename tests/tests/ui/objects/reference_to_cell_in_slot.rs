//! A slot takes objects, so no plain borrow of a cell can be kept in one.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(1u64));
        cx.alloc(Slot::new(cell));
        cx.alloc(Slot::new(cell.as_ref())); // refused
    });
}
