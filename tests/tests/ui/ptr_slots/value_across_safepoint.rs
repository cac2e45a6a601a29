//! At a safepoint others may replace the value.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    let value = cx.ptr_slot(&KEY);
    lock.safepoint(); // refused
    assert_eq!(value, None);
}
