//! What a root gives in an access stays in that access.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
    let _seven = space.shared(|cx| {
        let object = root.get(cx);
        return object; // refused
    });
}
