//! Nor is a value taken there.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.shared(|cx| {
        cx.take_ptr_slot(&KEY); // refused
        assert_eq!(cx.ptr_slot(&KEY), None);
    });
}
