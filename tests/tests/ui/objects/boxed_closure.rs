//! A boxed closure may own references that nobody visits, and drop what uses them.
use cspace::*;

#[derive(IObject)]
struct Native<'gc> {
    value: Gc<'gc, u64>,
    call: Box<dyn Fn() -> u64 + Send + Sync + 'gc>, // refused
}

fn main() {}
