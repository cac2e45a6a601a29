//! Nor do they allow more than the access they take.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let _current = space.set_current();
    let _ = current::shared(|cx| {
        cx.alloc(1u64); // refused
    });
}
