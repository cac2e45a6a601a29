//! A derived object has one impl.
use cspace::*;

#[derive(IObject)]
struct Node {
    value: u64,
}

unsafe impl<'gc> IObject<'gc> for Node {
    type R = Node;

    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}

fn main() {}
