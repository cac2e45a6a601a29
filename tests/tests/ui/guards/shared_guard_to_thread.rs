//! So is a shared one: each thread knows what it holds.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    let mut _lock = space.lock_shared();
    thread::scope(|threads| {
        threads.spawn(|| ());
        threads.spawn(move || _lock.safepoint()); // refused
    });
}
