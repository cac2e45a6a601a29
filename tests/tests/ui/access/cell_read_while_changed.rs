//! A borrow of a cell ends before the cell is borrowed mutably.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let list = cx.alloc(GcCell::new(vec![1u64]));
        let first = &list.borrow(cx)[0];
        list.borrow_mut(cx).push(2); // refused
        assert_eq!(*first, 1);
    });
}
