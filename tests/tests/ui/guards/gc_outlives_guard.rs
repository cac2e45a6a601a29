//! A brand that was made before the guard would outlive it, and so would references.
use cspace::*;

fn main() {
    let space = CSpace::new();
    make_guard!(brand);
    {
        let mut lock = space.lock();
        lock.scope(|cx| cx.alloc(1u64).addr());
        lock.enter(brand); // refused
    }
}
