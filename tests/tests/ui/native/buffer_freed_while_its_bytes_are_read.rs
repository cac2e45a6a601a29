//! A buffer is not freed while its bytes are borrowed.

use cspace::native::DirectBuffer;
use cspace::CSpace;

fn main() {
    CSpace::new().exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 10).unwrap();
        let bytes = buffer.bytes(cx).unwrap();
        buffer.free(cx).unwrap(); // refused
        assert_eq!(bytes.len(), 10);
    });
}
