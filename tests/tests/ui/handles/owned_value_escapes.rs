//! A borrow of an owned root's value ends with the access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut owned = space.exclusive(|cx| cx.own_root(vec![1u64]));
    let mut lock = space.lock();
    let _value = lock.scope_mut(&mut owned, |_, value| {
        value.push(2);
        return value; // refused
    });
}
