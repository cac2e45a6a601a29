//! A guard is dropped before its handle.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let guard = space.set_current();
    drop(space); // refused
    drop(guard);
}
