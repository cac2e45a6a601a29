//! An owned root's value is dropped by the collector, on any thread.
use cspace::*;
use std::rc::Rc;

fn main() {
    CSpace::new().exclusive(|cx| {
        let _rc = Rc::new(1);
        let _owned = cx.own_root(Static(*_rc));
        let _owned = cx.own_root(Static(_rc)); // refused
    });
}
