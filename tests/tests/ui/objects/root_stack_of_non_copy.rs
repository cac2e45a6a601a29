//! The collector overwrites what lies above a stack's length, so elements are `Copy`.
use cspace::*;

fn main() {
    let _ = RootStack::new(8, NanBox::NIL);
    let _ = RootStack::new(8, String::new()); // refused
}
