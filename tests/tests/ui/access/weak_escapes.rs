//! A weak reference is a reference: it stays in its access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _weak = space.exclusive(|cx| {
        let weak = cx.downgrade(cx.alloc(1u64));
        return weak; // refused
    });
}
