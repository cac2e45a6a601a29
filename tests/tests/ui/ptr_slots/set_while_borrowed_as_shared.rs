//! Nor while it is borrowed from an exclusive access that is lent as a shared one.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let value = cx.as_shared().ptr_slot(&KEY);
        cx.set_ptr_slot(&KEY, "set".to_string()); // refused
        assert_eq!(value, None);
    });
}
