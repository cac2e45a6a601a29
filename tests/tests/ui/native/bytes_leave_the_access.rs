//! Bytes of a buffer do not leave the access.

use cspace::native::DirectBuffer;
use cspace::CSpace;

fn main() {
    let space = CSpace::new();
    let mut kept: &[u8] = &[];
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 10).unwrap();
        kept = buffer.bytes(cx).unwrap(); // refused
    });
    assert!(kept.is_empty());
}
