//! Nor while it is borrowed from the half that allocates.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let (alloc, _cells) = cx.split();
        let value = alloc.ptr_slot(&KEY);
        cx.set_ptr_slot(&KEY, "set".to_string()); // refused
        assert_eq!(value, None);
    });
}
