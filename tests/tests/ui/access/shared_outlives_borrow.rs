//! While a shared token is lent, the exclusive one is out of use.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let slot = cx.alloc(Slot::new(1u64));
        let shared = cx.as_shared();
        slot.get(shared);
        slot.set(cx, 2); // refused
        slot.get(shared);
    });
}
