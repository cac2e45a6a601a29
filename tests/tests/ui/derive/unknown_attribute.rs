//! A misspelt attribute is an error, not a comment.
use cspace::*;

#[derive(IObject)]
struct Node<'gc> {
    #[cspace(skipp)]
    next: Gc<'gc, u64>,
}

fn main() {}
