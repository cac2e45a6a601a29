//! A constant would be a new key wherever it is named, and never find what it set.
use cspace::*;

const KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let _key = KEY;
        cx.set_ptr_slot(&KEY, "set".to_string()); // refused
    });
}
