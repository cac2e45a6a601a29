//! `Static` takes no references of the space: they would not be visited.
use cspace::*;

fn hide<'gc>(cx: &Exclusive<'gc>, _object: Gc<'gc, u64>) {
    cx.alloc(Static(1u64));
    cx.alloc(Static(_object)); // refused
}

fn main() {
    let _ = hide;
}
