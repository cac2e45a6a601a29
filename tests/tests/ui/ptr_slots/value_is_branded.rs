//! A value is no object: nobody would trace a reference in it.
use cspace::*;

static KEY: PtrSlot<u64> = PtrSlot::new();

fn set<'gc>(cx: &mut Exclusive<'gc>, key: &'static PtrSlot<Gc<'static, u64>>) {
    let object = cx.alloc(1u64);
    cx.set_ptr_slot(key, object); // refused
    cx.set_ptr_slot(&KEY, *object);
}

fn main() {
    let _ = set;
}
