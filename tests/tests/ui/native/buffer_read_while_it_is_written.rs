//! A buffer is not read while its bytes are borrowed to be written, by another view neither.

use cspace::native::DirectBuffer;
use cspace::CSpace;

fn main() {
    CSpace::new().exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 10).unwrap();
        let view = buffer.slice(..5).unwrap();
        let mut bytes = buffer.bytes_mut(cx).unwrap();
        assert_eq!(view.bytes(cx).unwrap().len(), 5); // refused
        bytes[0] = 1;
    });
}
