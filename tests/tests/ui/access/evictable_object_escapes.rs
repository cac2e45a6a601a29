//! What an evictable reference gives is for the access that it was got in: the next collection may let go of it.
use cspace::*;

fn main() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| cx.evictable_root(cx.alloc(1u64)));
    let mut kept = None;
    space.shared(|cx| {
        let object = root.get(cx).unwrap();
        kept = Some(object); // refused
        let _ = (object, &mut kept);
    });
    let _: Option<Gc<'_, u64>> = kept;
}
