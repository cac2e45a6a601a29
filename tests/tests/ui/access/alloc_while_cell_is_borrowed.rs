//! While a cell is borrowed mutably the token is taken: split it to allocate.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let list = cx.alloc(GcCell::new(Vec::new()));
        let first = cx.alloc(1u64);
        let elements = list.borrow_mut(cx);
        elements.push(first);
        elements.push(cx.alloc(2u64)); // refused
    });
}
