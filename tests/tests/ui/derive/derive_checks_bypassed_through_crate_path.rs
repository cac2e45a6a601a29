//! The derive took its checks from the module named by `crate = …`, which need not be the crate. Must not compile.
use cspace::*;

mod lax {
    pub use cspace::{IObject, Rootable, Visitor};
    pub mod __private {
        pub use cspace::__private::{Depth, Drops, Hooks, TypesSeen};
        pub trait MustNotImplDrop {}
        pub struct SkippedFieldMustBeStatic<T>(core::marker::PhantomData<T>);
    }
}

#[derive(IObject)]
#[cspace(crate = lax)]
struct Node<'gc> {
    #[cspace(skip)]
    text: Gc<'gc, String>,
}
impl Drop for Node<'_> {
    fn drop(&mut self) {
        println!("{}", self.text.len());
    }
}

fn main() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        cx.root(cx.alloc(Node { text: cx.alloc("x".repeat(100)) }))
    });
    space.synchronous_gc().unwrap();
    space.shared(|cx| assert_eq!(root.get(cx).text.as_str(), "x".repeat(100)));
}
