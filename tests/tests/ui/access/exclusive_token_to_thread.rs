//! The token of an exclusive access stays on its thread.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        thread::scope(|threads| {
            let _cx = &*cx;
            threads.spawn(|| ());
            threads.spawn(move || _cx.num_objects()); // refused
        });
    });
}
