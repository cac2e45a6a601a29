//! A brand names one access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    make_guard!(brand);
    lock.enter(brand);
    lock.enter(brand); // refused
}
