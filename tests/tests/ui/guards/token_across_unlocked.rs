//! A token proves that the lock is held, so it cannot be there when the lock is not.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    lock.unlocked(|| ()); // refused
    cx.alloc(1u64);
}
