//! A caught panic of `alloc` left a note that kept the next panic, a real one, from poisoning.
use cspace::*;
use std::panic::{catch_unwind, AssertUnwindSafe};

#[test]
fn a_panic_after_a_caught_heap_full_poisons() {
    let space = CSpace::builder().max_heap_bytes(1 << 20).build().unwrap();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        space.exclusive(|cx| {
            let full = catch_unwind(AssertUnwindSafe(|| cx.alloc_slice(1 << 22, |_| 0u8).addr()));
            assert!(full.is_err());
            panic!("half done");
        })
    }));
    assert!(space.is_poisoned());
}
