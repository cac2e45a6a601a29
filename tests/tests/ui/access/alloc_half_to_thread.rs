//! The halves of a split stay on their thread as the whole does.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let (_alloc, _cells) = cx.split();
        thread::scope(|threads| {
            threads.spawn(|| ());
            threads.spawn(move || _alloc.num_objects()); // refused
        });
    });
}
