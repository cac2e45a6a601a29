//! While the lock is given up, a collection may reclaim what was only on the stack.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    let object = cx.alloc(1u64);
    lock.unlocked(|| ()); // refused
    assert_eq!(*object, 1);
}
