//! What is in a `Static` is dropped on the collector's thread.
use cspace::*;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(IObject)]
enum Node {
    Shared(Static<Rc<u32>>),
    Changing { count: Static<RefCell<u32>> },
}

fn main() {}
