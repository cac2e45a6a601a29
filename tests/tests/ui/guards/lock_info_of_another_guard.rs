//! What was given up is taken again by what giving it up returned, not by some other guard.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let info = a.lock().begin_unlock();
    let mut _guard = b.lock();
    _guard.end_unlock(info); // refused
}
