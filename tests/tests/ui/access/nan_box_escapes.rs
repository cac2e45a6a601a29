//! A value that may be a reference stays in its access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _value = space.exclusive(|cx| {
        let value = NanBox::from_gc(cx.alloc(1u64));
        return value; // refused
    });
}
