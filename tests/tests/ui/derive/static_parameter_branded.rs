//! A static parameter takes nothing with a brand.
use cspace::*;

#[derive(IObject)]
struct Boxed<'gc, T: Send + Sync + 'static> {
    next: Gc<'gc, u64>,
    value: Static<T>,
}

fn use_with_branded<'gc>(cx: &mut Exclusive<'gc>, next: Gc<'gc, u64>) {
    let value = Static(next);
    cx.alloc(Boxed { next, value });
}

fn main() {}
