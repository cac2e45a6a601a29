//! A shared access writes nothing.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc(Slot::new(1u64))));
    space.shared(|cx| {
        let slot = root.get(cx);
        slot.get(cx);
        slot.set(cx, 2); // refused
    });
}
