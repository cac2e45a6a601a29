//! There is no other way to come by the proof of a lock that was given up.
use cspace::*;

fn forge(_space: &Space) -> Option<LockInfo<'_>> {
    return Some(LockInfo { space: _space, mode: LockMode::Exclusive }); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = forge;
}
