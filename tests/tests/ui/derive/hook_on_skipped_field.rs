//! Two attributes that exclude each other. Must not compile.
use cspace::*;

fn close(_: &mut u32) {}

#[derive(IObject)]
struct Node {
    #[cspace(skip, on_collect = "close")] // refused
    file: Static<u32>,
}

fn main() {
    close(&mut 1);
    let node = Node { file: Static(1) };
    assert_eq!(*node.file, 1);
}
