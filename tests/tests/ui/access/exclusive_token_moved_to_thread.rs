//! Not by `&mut` either: the heap's cursors belong to the thread that holds the lock.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        thread::scope(|threads| {
            cx.num_objects();
            threads.spawn(move || cx.alloc(1u64).addr()); // refused
        });
    });
}
