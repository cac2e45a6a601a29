//! A space is not dropped while it is locked.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    drop(space); // refused
    lock.safepoint();
}
