//! A trait reference made from a borrowed cell went on after the borrow, beside `borrow_mut`. Must not compile.
use cspace::*;

struct VecInterface;
impl Interface for VecInterface {
    type At<'gc> = Vec<String>;
}

fn main() {
    let space = CSpace::new();
    let mut lock = space.lock();
    let (cell, seen) = {
        make_guard!(brand);
        let cx: &Entered<'_> = Box::leak(Box::new(lock.enter(brand)));
        let cell = cx.alloc(GcCell::new(vec!["first".to_string(); 4]));
        let seen = GcDyn::<VecInterface>::new(cell, |cell| cell.borrow(&**cx));
        (cx.root(cell), cx.own_root(seen))
    };
    lock.scope(|cx| {
        let before: &String = &seen.get(cx).as_ref()[0];
        cell.get(cx).replace(cx, Vec::new());
        assert_eq!(before, "first");
    });
}
