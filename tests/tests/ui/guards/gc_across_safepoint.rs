//! A safepoint may collect.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    let object = cx.alloc(1u64);
    lock.safepoint(); // refused
    assert_eq!(*object, 1);
}
