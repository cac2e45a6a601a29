//! An owned root's value is changed in an exclusive access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut owned = space.exclusive(|cx| cx.own_root(vec![1u64]));
    space.shared(|cx| {
        assert_eq!(owned.get(cx).len(), 1);
        owned.get_mut(cx).push(2); // refused
    });
}
