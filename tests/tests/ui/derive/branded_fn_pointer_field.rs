//! With the object's own brand in its type a function pointer is not `'static`.
use cspace::*;

#[derive(IObject)]
struct Native<'gc> {
    call: Static<fn(&mut Exclusive<'gc>, NanBox<'gc>)>,
    value: NanBox<'gc>,
}

fn main() {}
