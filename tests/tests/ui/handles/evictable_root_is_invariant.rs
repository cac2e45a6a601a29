//! An evictable root is invariant in its family as a root is.
use cspace::*;

type Any = for<'a> fn(&'a ());
type Forever = fn(&'static ());

fn turn(root: EvictableRoot<Static<Any>>) -> Option<EvictableRoot<Static<Forever>>> {
    let _kept = &root;
    return Some(root); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = turn;
}
