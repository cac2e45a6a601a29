//! Fields are skipped, variants are not.
use cspace::*;

#[derive(IObject)]
enum Value<'gc> {
    #[cspace(skip)]
    Node(Gc<'gc, u64>),
}

fn main() {}
