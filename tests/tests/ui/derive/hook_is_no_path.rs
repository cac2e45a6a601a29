//! A hook is named by its path. Must not compile.
use cspace::*;

#[derive(IObject)]
struct Node {
    #[cspace(on_collect = "|file| drop(file)")] // refused
    file: Static<u32>,
}

fn main() {
    let node = Node { file: Static(1) };
    assert_eq!(*node.file, 1);
}
