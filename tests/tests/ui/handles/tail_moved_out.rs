//! An object with a tail of elements exists behind its reference only.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let object = cx.alloc_tail(1u64, 2, |i| i as u64);
        let _header: u64 = **object;
        let _tail: Tail<u64, u64> = *object; // refused
    });
}
