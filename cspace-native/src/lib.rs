//! Memory that is not objects: what an interpreter needs outside of the heap, with the lifetimes and the limits of
//! a space.

mod arena;
mod buffer;
mod bump;
mod cleanup;
mod contexts;
mod operation;
pub mod protocol;
mod scalar;
mod source;

pub use arena::{
    Acquired, AcquiredMut, ArenaError, AutoArena, AutoBytesMut, AutoSegment, AutoSegmentHandle,
    CheckedArena, ConfinedArena, GlobalArena, OutOfRange, PrefixAllocator, Segment, SegmentHandle,
    SegmentMut, SharedArena, SharedArenaAllocator, SharedSegment, SlicingAllocator,
};
pub use buffer::{
    AllocateError, BufferError, BufferHandle, BytesMut, DirectBuffer, MapAdvice, MapError,
    MapHandle, MapMode, MapRange, MappedBuffer, Mapping, Reservation,
};
pub use bump::NativeError;
pub use cleanup::CleanupPanics;
pub use contexts::{
    Config, ConfigBuilder, ConfigCell, Context, ContextHandle, Initializer, MakeError,
    ReserveError, SlotError, SlotKey, Transient, TransientError, TypeMismatch, WrongContext,
};
pub use operation::{
    bind_allocator, Bound, Charged, Handler, Operation, OperationFuture, Purpose,
    RecyclingAllocator, StartError,
};
pub use scalar::{ByteOrder, Scalar};
#[cfg(feature = "faults")]
pub use source::fault;
pub use source::SystemFull;
