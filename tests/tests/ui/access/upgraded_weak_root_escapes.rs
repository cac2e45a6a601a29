//! What a weak root is upgraded to stays in the access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let weak = space.exclusive(|cx| cx.weak_root(cx.alloc(1u64)));
    let object = space.shared(|cx| weak.upgrade(cx)); // refused
}
