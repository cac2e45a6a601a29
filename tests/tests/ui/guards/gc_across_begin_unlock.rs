//! The explicit pair is no way around it.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    let object = cx.alloc(1u64);
    let _lock = lock.begin_unlock().end_unlock(); // refused
    assert_eq!(*object, 1);
}
