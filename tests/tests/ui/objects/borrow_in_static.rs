//! `Static` takes what is `'static`.
use cspace::*;

fn main() {
    let number = 1u64;
    CSpace::new().exclusive(|cx| {
        cx.alloc(Static(number));
        cx.alloc(Static(&number)); // refused
    });
}
