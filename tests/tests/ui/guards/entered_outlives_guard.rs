//! An entered access ends with its guard.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    cx.alloc(1u64);
    drop(lock); // refused
    cx.alloc(2u64);
}
