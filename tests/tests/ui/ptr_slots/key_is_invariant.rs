//! A key of one type is not a key of a supertype's: the values are of the type they were set with.
use cspace::*;

type Any = for<'a> fn(&'a ());
type Forever = fn(&'static ());

static KEY: PtrSlot<Any> = PtrSlot::new();

fn turn() -> Option<&'static PtrSlot<Forever>> {
    let _kept = &KEY;
    return Some(&KEY); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = turn;
}
