//! There is one token for a brand.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let _token: &mut Exclusive<'_> = cx;
        let _token: Exclusive<'_> = _token.clone(); // refused
    });
}
