//! An evictable reference is touched in an access to its own space.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let page = in_a.evictable(in_a.alloc(1u64));
            page.get(in_a);
            page.get(in_b); // refused
        })
    });
}
