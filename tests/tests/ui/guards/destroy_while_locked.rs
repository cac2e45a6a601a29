//! Nor is it destroyed.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    let _ = space.destroy(); // refused
    lock.safepoint();
}
