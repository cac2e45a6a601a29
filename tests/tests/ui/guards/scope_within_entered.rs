//! A scope cannot be opened beside an entered access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    lock.scope(|_| ()); // refused
    cx.alloc(1u64);
}
