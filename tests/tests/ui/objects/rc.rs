//! Objects move between threads; an `Rc` does not.
use cspace::*;
use std::rc::Rc;

fn main() {
    CSpace::new().exclusive(|cx| {
        let _rc = Rc::new(1u64);
        cx.alloc(*_rc);
        cx.alloc(Static(_rc)); // refused
    });
}
