//! A `Cow` may borrow.
use cspace::*;
use std::borrow::Cow;

#[derive(IObject)]
struct Text<'gc> {
    value: Gc<'gc, u64>,
    text: Cow<'gc, str>, // refused
}

fn main() {}
