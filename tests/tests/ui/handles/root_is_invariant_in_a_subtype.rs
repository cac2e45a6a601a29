//! A root of one family is not a root of a supertype's: the family chooses the object type.
use cspace::*;

type Any = for<'a> fn(&'a ());
type Forever = fn(&'static ());

fn turn(root: GcRoot<Static<Any>>) -> Option<GcRoot<Static<Forever>>> {
    let _kept = &root;
    return Some(root); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = turn;
}
