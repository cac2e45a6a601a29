//! A phantom of another crate's branded proof would carry a lifetime that the family forgets.
use cspace::*;
use std::marker::PhantomData;

struct Proof<'a>(PhantomData<fn(&'a ()) -> &'a ()>);

fn keep<'gc, 'a>(cx: &Exclusive<'gc>) {
    cx.alloc(PhantomData::<u64>);
    cx.alloc(PhantomData::<Proof<'a>>); // refused
}

fn main() {
    let _ = keep;
}
