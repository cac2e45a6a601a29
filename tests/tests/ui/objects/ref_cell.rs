//! A `RefCell` changes under a shared access.
use cspace::*;
use std::cell::RefCell;

fn main() {
    CSpace::new().exclusive(|cx| {
        cx.alloc(GcCell::new(vec![1u64]));
        cx.alloc(RefCell::new(vec![1u64])); // refused
    });
}
