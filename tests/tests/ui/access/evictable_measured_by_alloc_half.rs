//! Measuring an object looks into its cells, so the half that allocates does not: the other may have one borrowed.
use cspace::*;

fn main() {
    let space = CSpace::new();
    space.exclusive(|cx| {
        let object = cx.alloc(GcCell::new(vec![1u64]));
        let (alloc, cells) = cx.split();
        let borrowed = object.borrow_mut(cells);
        alloc.evictable_with_size(object, 100);
        alloc.evictable(object); // refused
        borrowed.push(2);
    });
}
