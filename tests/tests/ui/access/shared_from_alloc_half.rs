//! Nor does it come from the half that allocates and sets slots.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let (_alloc, _cells) = cx.split();
        let _shared: &Shared<'_> = _alloc.as_shared(); // refused
    });
}
