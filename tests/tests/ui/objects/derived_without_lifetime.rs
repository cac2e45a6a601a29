//! A type that is not derived says so.
use cspace::*;

struct Plain(u64);

fn main() {
    CSpace::new().exclusive(|cx| {
        cx.alloc(Plain(1).0);
        cx.alloc(Plain(1)); // refused
    });
}
