//! What a root gives has the brand of the access that it was asked in.
use cspace::*;

fn main() {
    let (a, b) = (CSpace::new(), CSpace::new());
    let root = a.exclusive(|cx| cx.root(cx.alloc(1u64)));
    a.exclusive(|in_a| {
        b.exclusive(|in_b| {
            let _object: Gc<'_, u64> = root.get(in_a);
            in_a.root(root.get(in_a));
            in_b.root(root.get(in_a)); // refused
        })
    });
}
