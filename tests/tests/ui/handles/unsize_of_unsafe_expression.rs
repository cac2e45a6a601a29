//! What a macro is given is not a part of its unsafe code.
use cspace::*;

trait Shape {
    fn area(&self) -> u64;
}
interface! { struct DynShape = dyn Shape; }

#[derive(IObject)]
struct Square(u64);

impl Shape for Square {
    fn area(&self) -> u64 {
        self.0
    }
}

/// # Safety
///
/// None of the callers' business here.
unsafe fn dangerous<T>(value: T) -> T {
    value
}

fn main() {
    CSpace::new().exclusive(|cx| {
        let _square = cx.alloc(Square(1));
        assert_eq!(unsize!(_square => DynShape).area(), 1);
        unsize!(dangerous(_square) => DynShape); // refused
    });
}
