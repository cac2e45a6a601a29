//! A lock is taken again once.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let info = space.lock().begin_unlock();
    drop(info.end_unlock());
    drop(info.end_unlock()); // refused
}
