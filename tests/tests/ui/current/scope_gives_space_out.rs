//! The space of a scope is lent: it is destroyed at the end.
use cspace::*;

fn main() {
    let _space: Option<&CSpace> = CSpace::scope(|space| {
        let _kept = space;
        return Some(space); // refused
        #[allow(unreachable_code)]
        None
    });
}
