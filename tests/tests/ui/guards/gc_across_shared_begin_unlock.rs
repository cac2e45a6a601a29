//! Nor is the pair of a shared guard.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
    let mut lock = space.lock_shared();
    make_guard!(brand);
    let cx = lock.enter(brand);
    let object = root.get(&cx);
    let _lock = lock.begin_unlock().end_unlock(); // refused
    assert_eq!(*object, 1);
}
