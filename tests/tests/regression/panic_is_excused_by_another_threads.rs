//! A panic of one thread's `alloc` that was caught excused the next panic of another thread: the space was not poisoned.
use cspace::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::thread;

use crate::within;

fn space() -> CSpace {
    CSpace::builder().max_heap_bytes(1 << 20).build().unwrap()
}

/// A panic that leaves the objects whole.
fn full(cx: &Exclusive<'_>) {
    cx.alloc_slice_copy(&[0u8; 4 << 20]);
}

fn caught(f: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
}

fn poison_elsewhere(space: &CSpace) {
    thread::scope(|threads| {
        let other = threads.spawn(|| caught(|| space.exclusive(|_| panic!("half done"))));
        other.join().unwrap();
    });
}

#[test]
fn another_threads_panic_is_not_excused() {
    within(60, || {
        let space = space();
        let mut lock = space.lock();
        caught(|| lock.scope(|cx| full(cx)));
        lock.unlocked(|| {
            poison_elsewhere(&space);
            assert!(space.is_poisoned());
            space.clear_poison();
        });
    });
}

#[test]
fn nor_is_one_of_the_same_thread_after_the_lock_was_given_up() {
    let space = space();
    caught(|| {
        let mut lock = space.lock();
        caught(|| lock.scope(|cx| full(cx)));
        lock.safepoint();
        lock.scope(|_| panic!("half done"));
    });
    assert!(space.is_poisoned());
}

#[test]
fn nor_is_one_of_another_scope_after_the_first_left_its_own() {
    let space = space();
    caught(|| {
        let mut lock = space.lock();
        caught(|| lock.scope(|cx| full(cx)));
        lock.scope(|_| panic!("half done"));
    });
    assert!(space.is_poisoned());
    space.clear_poison();
    caught(|| {
        let mut lock = space.lock();
        caught(|| lock.scope(|_| panic!("half done")));
        lock.scope(|cx| full(cx));
    });
    assert!(!space.is_poisoned(), "what was caught between two scopes is past");
}

#[test]
fn nor_is_one_by_what_a_transactions_end_catches() {
    let space = space();
    space.on_transaction_end(|cx| caught(|| full(cx)));
    caught(|| space.transaction(|_| panic!("half done")));
    assert!(space.is_poisoned());
    space.clear_poison();
    caught(|| space.transaction(|cx| full(cx)));
    assert!(!space.is_poisoned());
}

#[test]
fn a_panic_of_alloc_outside_of_a_scope_is_excused_as_well() {
    let space = space();
    caught(|| {
        let mut lock = space.lock();
        make_guard!(brand);
        full(&lock.enter(brand));
    });
    assert!(!space.is_poisoned());
}

#[test]
fn nor_is_one_of_another_space_of_the_same_thread() {
    let (a, b) = (space(), space());
    caught(|| {
        a.exclusive(|cx| {
            caught(|| full(cx));
            b.exclusive(|_| panic!("half done"))
        })
    });
    assert_eq!((a.is_poisoned(), b.is_poisoned()), (false, true));
    b.clear_poison();
    // Its own panic poisons no space that it was not raised in.
    caught(|| a.exclusive(|_| b.exclusive(|cx| full(cx))));
    assert_eq!((a.is_poisoned(), b.is_poisoned()), (true, false));
}

#[test]
fn a_panic_of_alloc_itself_poisons_nothing_beside_other_accesses() {
    let space = space();
    caught(|| space.exclusive(|cx| full(cx)));
    assert!(!space.is_poisoned());
    let mut lock = space.lock();
    lock.unlocked(|| caught(|| space.exclusive(|cx| full(cx))));
    caught(move || lock.scope(|cx| full(cx)));
    assert!(!space.is_poisoned());
    poison_elsewhere(&space);
    assert!(space.is_poisoned());
}
