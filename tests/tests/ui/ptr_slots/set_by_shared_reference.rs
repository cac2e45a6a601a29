//! Nor does an exclusive access that is borrowed by many.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn set(cx: &Exclusive<'_>) {
    cx.set_ptr_slot(&KEY, "set".to_string()); // refused
    assert_eq!(cx.ptr_slot(&KEY), None);
}

fn main() {
    CSpace::new().exclusive(|cx| set(cx));
}
