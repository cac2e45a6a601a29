//! A shared access allocates nothing.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.shared(|cx| {
        cx.num_objects();
        cx.alloc(1u64); // refused
    });
}
