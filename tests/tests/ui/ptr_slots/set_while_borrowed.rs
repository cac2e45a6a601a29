//! A value that is borrowed is not replaced.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let value = cx.ptr_slot(&KEY);
        cx.set_ptr_slot(&KEY, "set".to_string()); // refused
        assert_eq!(value, None);
    });
}
