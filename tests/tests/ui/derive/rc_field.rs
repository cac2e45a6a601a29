//! An `Rc` in a field is refused by the derive, in one error.
use cspace::*;
use std::rc::Rc;

#[derive(IObject)]
struct Node {
    name: Rc<str>,
    children: Vec<Option<Rc<Node>>>,
}

fn main() {}
