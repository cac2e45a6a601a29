//! A shared lock too is taken again on the thread that gave it up.
use cspace::*;
use std::thread;

fn main() {
    let space = CSpace::new();
    let _info = space.lock_shared().begin_unlock();
    thread::scope(|threads| {
        threads.spawn(|| ());
        threads.spawn(move || drop(_info.end_unlock())); // refused
    });
}
