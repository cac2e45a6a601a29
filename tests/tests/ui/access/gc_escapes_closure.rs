//! A reference cannot leave the closure of its access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _kept = space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        return object; // refused
    });
}
