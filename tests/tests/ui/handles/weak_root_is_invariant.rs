//! A weak root is invariant in its family as a root is.
use cspace::*;

type Any = for<'a> fn(&'a ());
type Forever = fn(&'static ());

fn turn(weak: WeakRoot<Static<Any>>) -> Option<WeakRoot<Static<Forever>>> {
    let _kept = &weak;
    return Some(weak); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = turn;
}
