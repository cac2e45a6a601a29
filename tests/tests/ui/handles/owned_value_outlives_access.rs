//! Also if its type says nothing of the brand: the collector may be looking at it.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut owned = space.exclusive(|cx| cx.own_root(vec![1u64]));
    let mut lock = space.lock();
    make_guard!(brand);
    let cx = lock.enter(brand);
    let value = owned.get_mut(&*cx);
    value.push(2);
    let _ = lock.collect(); // refused
    value.push(3);
}
