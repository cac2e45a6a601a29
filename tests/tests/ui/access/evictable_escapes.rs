//! An evictable reference is a reference: it stays in its access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _evictable = space.exclusive(|cx| {
        let evictable = cx.evictable(cx.alloc(1u64));
        return evictable; // refused
    });
}
