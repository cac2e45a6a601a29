//! A scope of a guard has a brand of its own.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    let _object = lock.scope(|cx| {
        let object = cx.alloc(1u64);
        return object; // refused
    });
}
