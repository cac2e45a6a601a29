//! A guard is entered once at a time: two tokens would be two exclusive accesses.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(first);
    make_guard!(second);
    let cx = lock.enter(first);
    lock.enter(second); // refused
    cx.alloc(1u64);
}
