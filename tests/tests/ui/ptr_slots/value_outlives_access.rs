//! A value is borrowed from the access: after it anybody may replace the value.
use cspace::*;

static KEY: PtrSlot<String> = PtrSlot::new();

fn main() {
    let space = CSpace::new();
    let _value: Option<&String> = space.shared(|cx| {
        return cx.ptr_slot(&KEY); // refused
        #[allow(unreachable_code)]
        None
    });
}
