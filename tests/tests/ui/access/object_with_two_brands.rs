//! One object cannot refer to two spaces.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let object = in_a.alloc(1u64);
            in_b.alloc((in_b.alloc(2u64), 3u64));
            in_b.alloc((object, 3u64)); // refused
        })
    });
}
