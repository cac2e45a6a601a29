//! A shared guard whose lock was given up is gone.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock_shared();
    lock.safepoint();
    let _info = lock.begin_unlock();
    lock.scope(|cx| cx.num_objects()); // refused
}
