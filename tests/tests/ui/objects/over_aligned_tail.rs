//! Elements of a tail are aligned to at most sixteen bytes.
use cspace::*;

#[derive(IObject)]
#[repr(align(32))]
struct Wide(u64);

fn main() {
    CSpace::new().exclusive(|cx| {
        cx.alloc_slice(2, |i| i as u64);
        cx.alloc_slice(2, |i| Wide(i as u64)); // refused
    });
}
