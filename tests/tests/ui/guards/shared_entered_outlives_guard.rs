//! So does a shared one.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock_shared();
    make_guard!(brand);
    let cx = lock.enter(brand);
    cx.num_objects();
    drop(lock); // refused
    cx.num_objects();
}
