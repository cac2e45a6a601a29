//! The half that allocates can be borrowed twice: it sets no slot.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let (alloc, _cells) = cx.split();
        alloc.set_ptr_slot(&KEY, "set".to_string()); // refused
        assert_eq!(alloc.ptr_slot(&KEY), None);
    });
}
