//! A fanned-out access reads: with a write here every reader would race.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let slot = cx.alloc(Slot::new(1u64));
        cx.as_shared().fan_out([|cx: &Shared<'_>| {
            let _ = cx.num_objects();
            slot.set(cx, 2); // refused
        }]);
    });
}
