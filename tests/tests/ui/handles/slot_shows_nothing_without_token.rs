//! What is in a slot is seen with a token only.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let slot = cx.alloc(Slot::new(1u64));
        println!("{:?}", slot.get(cx));
        println!("{:?}", slot.as_ref()); // refused
    });
}
