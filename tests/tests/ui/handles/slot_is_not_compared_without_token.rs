//! Slots have no equality: it would read them beside a writer.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        let (a, b) = (cx.alloc(Slot::new(1u64)), cx.alloc(Slot::new(2u64)));
        let _ = a == b;
        let _ = a.as_ref() == b.as_ref(); // refused
    });
}
