//! An owned root is invariant in its family as a root is.
use cspace::*;

type Any = for<'a> fn(&'a ());
type Forever = fn(&'static ());

fn turn(owned: OwnedRoot<Static<Any>>) -> Option<OwnedRoot<Static<Forever>>> {
    let _kept = &owned;
    return Some(owned); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = turn;
}
