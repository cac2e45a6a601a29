//! Memory that is not objects: what an interpreter needs outside of the heap, with the lifetimes and the limits of
//! a space.

mod buffer;
mod operation;
mod scalar;
mod source;

pub use buffer::{
    AllocateError, BufferError, BufferHandle, BytesMut, DirectBuffer, MapAdvice, MapError,
    MapHandle, MapMode, MapRange, MappedBuffer, Mapping, Reservation,
};
pub use operation::{
    bind_allocator, Bound, Charged, Handler, Operation, OperationFuture, Purpose,
    RecyclingAllocator, StartError,
};
pub use scalar::{ByteOrder, Scalar};
#[cfg(feature = "faults")]
pub use source::fault;
pub use source::SystemFull;
