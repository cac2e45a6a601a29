//! A borrowed field would outlive what it borrows.
use cspace::*;

#[derive(IObject)]
struct Text<'gc> {
    text: &'gc str,
}

fn main() {}
