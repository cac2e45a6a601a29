//! A thread that held as many spaces as it can was told that it is inside of one that it is not in.
use cspace::*;

#[test]
fn the_error_is_about_the_number() {
    let spaces: Vec<CSpace> = (0..17).map(|_| CSpace::new()).collect();
    let _locks: Vec<_> = spaces[..16].iter().map(|space| space.lock()).collect();
    let result = spaces[16].synchronous_gc();
    assert!(!matches!(result, Err(CollectError::InsideAccess { .. })), "{result:?}");
}
