//! A slot is read by copying; what is not `Copy` belongs in a `GcCell`.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        cx.alloc(GcCell::new("text".to_string()));
        cx.alloc(Slot::new("text".to_string())); // refused
    });
}
