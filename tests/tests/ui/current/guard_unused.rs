//! A guard that nobody keeps is dropped at once.
#![deny(unused_must_use)]
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.set_current();
}
