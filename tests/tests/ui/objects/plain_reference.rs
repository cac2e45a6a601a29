//! A borrow of something outside may end before the object does.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let number = 1u64;
        cx.alloc(number);
        cx.alloc(&number); // refused
    });
}
