//! A weak set belongs to the access that made it, unless an owned root keeps it.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _names = space.exclusive(|cx| {
        let mut names = WeakSet::new();
        names.insert(cx, 7, cx.alloc("name".to_string()));
        return names; // refused
    });
}
