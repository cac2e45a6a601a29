//! A cell's value is cloned after it was borrowed.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let cell = cx.alloc(GcCell::new(vec![1u64]));
        let _: Vec<u64> = cell.borrow(cx).clone();
        let _: GcCell<'_, Vec<u64>> = cell.as_ref().clone(); // refused
    });
}
