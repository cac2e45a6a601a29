//! A shared token by value would outlive the borrow that it was lent for.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.shared(|cx| {
        let _token: &Shared<'_> = cx;
        let _token: Shared<'_> = Shared::clone(cx); // refused
    });
}
