//! A hook that takes the object itself would see its references. Must not compile.
use cspace::*;

fn close(_: &mut Node<'_>) {}

#[derive(IObject)]
struct Node<'gc> {
    name: Gc<'gc, String>,
    #[cspace(on_collect = "close")] // refused
    file: Static<u32>,
}

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let mut node = Node { name: cx.alloc(String::new()), file: Static(1) };
        close(&mut node);
        assert_eq!((node.name.len(), *node.file), (0, 1));
    });
}
