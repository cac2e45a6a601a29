//! A lock that was given up in shared mode is taken again in shared mode.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut _lock = space.lock_shared().begin_unlock().end_unlock();
    _lock.scope(|cx| cx.num_objects());
    _lock.scope(|cx| cx.alloc(1u64).addr()); // refused
}
