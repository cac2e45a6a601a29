//! Nor if both are subtypes of each other, and so may be called equal.
use cspace::*;

type One = for<'a, 'b> fn(&'a (), &'b ());
type Both = for<'a> fn(&'a (), &'a ());

fn turn(root: GcRoot<Static<One>>) -> Option<GcRoot<Static<Both>>> {
    let _kept = &root;
    return Some(root); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = turn;
}
