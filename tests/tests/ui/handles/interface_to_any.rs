//! A trait object of an interface ends with the brand, so nothing that needs `'static` can be called on it:
//! through `Any` the brand could be taken off.
use cspace::*;
use std::any::Any;

trait Shape {
    fn any(&self) -> &dyn Any
    where
        Self: 'static;
    fn area(&self) -> u64;
}
interface! { struct DynShape = dyn Shape; }

#[derive(IObject)]
struct Square<'gc>(Gc<'gc, u64>);

impl<'gc> Shape for Square<'gc> {
    fn any(&self) -> &dyn Any
    where
        Self: 'static,
    {
        self
    }
    fn area(&self) -> u64 {
        *self.0
    }
}

fn main() {
    CSpace::new().exclusive(|cx| {
        let square = cx.alloc(Square(cx.alloc(1u64)));
        let shape = unsize!(square => DynShape);
        shape.area();
        shape.any(); // refused
    });
}
