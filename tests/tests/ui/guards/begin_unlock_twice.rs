//! A lock is given up once.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let lock = space.lock();
    let _info = lock.begin_unlock();
    let _info = lock.begin_unlock(); // refused
}
