//! A space is current on the thread that made it so.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    let guard = space.set_current();
    thread::scope(|threads| {
        threads.spawn(|| ());
        threads.spawn(move || drop(guard)); // refused
    });
}
