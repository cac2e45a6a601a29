//! A guard is released by the thread that took it.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    let mut _lock = space.lock();
    thread::scope(|threads| {
        threads.spawn(|| ());
        threads.spawn(move || _lock.safepoint()); // refused
    });
}
