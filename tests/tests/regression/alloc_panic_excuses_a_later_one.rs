//! A caught panic of `alloc` left a note that kept the next panic, a real one, from poisoning.
//!
//! The note ends with its access now. Within the access it stays: nothing tells a panic that goes on from one
//! that was caught and followed by another, so the second is excused too. Poisoning is advice, memory is safe
//! either way.
use cspace::*;
use std::panic::{catch_unwind, AssertUnwindSafe};

fn full(cx: &Exclusive<'_>) {
    let full = catch_unwind(AssertUnwindSafe(|| cx.alloc_slice(1 << 22, |_| 0u8).addr()));
    assert!(full.is_err());
}

#[test]
fn a_panic_in_a_later_access_poisons() {
    let space = CSpace::builder().max_heap_bytes(1 << 20).build().unwrap();
    space.exclusive(|cx| full(cx));
    let _ = catch_unwind(AssertUnwindSafe(|| space.exclusive(|_| panic!("half done"))));
    assert!(space.is_poisoned());
}

#[test]
fn a_panic_in_the_same_access_is_excused() {
    let space = CSpace::builder().max_heap_bytes(1 << 20).build().unwrap();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        space.exclusive(|cx| {
            full(cx);
            panic!("half done");
        })
    }));
    assert!(!space.is_poisoned());
}
