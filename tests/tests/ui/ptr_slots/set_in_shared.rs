//! Others read beside a shared access: slots are set in an exclusive one.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.shared(|cx| {
        cx.set_ptr_slot(&KEY, "set".to_string()); // refused
        assert_eq!(cx.ptr_slot(&KEY), None);
    });
}
