//! Only `alloc_str` promises that bytes are text.
use cspace::*;

fn main() {
    CSpace::new().exclusive(|cx| {
        cx.alloc_tail_copy((), b"\xFF");
        cx.alloc_tail_copy(Utf8(()), b"\xFF"); // refused
    });
}
