//! An interface written by hand with a longer bound takes no object with a brand.
use cspace::*;

trait Shape {
    fn area(&self) -> u64;
}
struct StaticShape;
impl Interface for StaticShape {
    type At<'gc> = dyn Shape + 'static;
}

#[derive(IObject)]
struct Square<'gc>(Gc<'gc, u64>);

impl Shape for Square<'_> {
    fn area(&self) -> u64 {
        *self.0
    }
}

fn look<'gc>(_square: Gc<'gc, Square<'gc>>) {
    _square.area();
    unsize!(_square => StaticShape); // refused
}

fn main() {
    let _ = look;
}
