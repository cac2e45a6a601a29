//! A value that is borrowed is not taken.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let value = cx.ptr_slot(&KEY);
        cx.take_ptr_slot(&KEY); // refused
        assert_eq!(value, None);
    });
}
