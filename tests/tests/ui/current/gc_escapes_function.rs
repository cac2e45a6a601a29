//! The functions of the current space give no object out, as no access does.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _current = space.set_current();
    let _object = current::exclusive(|cx| {
        let object = cx.alloc(1u64);
        return object; // refused
    });
}
