//! Objects are aligned to at most a page.
use cspace::*;

#[derive(IObject)]
#[repr(align(4096))]
struct Page(u64);

#[derive(IObject)]
#[repr(align(8192))]
struct TwoPages(u64);

fn main() {
    CSpace::new().exclusive(|cx| {
        cx.alloc(Page(1));
        cx.alloc(TwoPages(1)); // refused
    });
}
