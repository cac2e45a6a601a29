//! A reference cannot leave its access through a variable outside.
use cspace::*;
use std::cell::Cell;

fn main() {
    let space = CSpace::new();
    let outside = Cell::new(None);
    space.exclusive(|cx| {
        let _object = cx.alloc(1u64);
        outside.set(Some(_object)); // refused
        let _: Option<Gc<'_, u64>> = None;
    });
    let _: Cell<Option<u8>> = Cell::new(None);
    drop::<Cell<Option<Gc<'static, u64>>>>(outside);
}
