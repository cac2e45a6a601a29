//! Only a lock gives a token.
use cspace::*;

fn forge<'gc>() -> Option<Exclusive<'gc>> {
    return Some(Exclusive { alloc: panic!(), cells: panic!(), shared: panic!() }); // refused
    #[allow(unreachable_code)]
    None
}

fn main() {
    let _ = forge;
}
