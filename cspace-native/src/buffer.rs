//! Buffers: bytes outside of the heap that objects refer to.

mod block;
mod direct;
mod mapped;
mod words;

pub use block::BytesMut;
pub use direct::{AllocateError, BufferError, BufferHandle, DirectBuffer, Reservation};
pub use mapped::{MapAdvice, MapError, MapHandle, MapMode, MapRange, MappedBuffer, Mapping};
