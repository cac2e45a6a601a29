//! What can go wrong with arenas.

use core::alloc::Layout;

use super::segment::OutOfRange;
use crate::bump::NativeError;
use crate::source::SystemFull;

/// An arena or a segment of it could not be used as was asked for. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArenaError {
    /// The alignment is no power of two.
    #[error("an alignment must be a power of two, and {align} is none")]
    Align {
        /// The alignment that was asked for.
        align: usize,
    },
    /// There was no memory.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// The arena was closed.
    #[error("the arena was closed: it and its segments cannot be used any more")]
    Closed,
    /// The arena is confined to another thread.
    #[error("the arena is confined to the thread that made it")]
    WrongThread,
    /// The arena cannot be closed while its segments are in use.
    #[error("the arena is acquired by {count}: it can be closed when they have released it")]
    Acquired {
        /// How many use it.
        count: usize,
    },
    /// The range does not lie within the segment.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Somebody else has bytes of the arena, to write or, if they were to be written, to read.
    #[error("bytes of the arena are borrowed: try again when the other one has ended")]
    Borrowed,
    /// The segment is to read only.
    #[error("the segment is read-only")]
    ReadOnly,
    /// There was no room in the heap for an object.
    #[error(transparent)]
    Heap(#[from] cspace_core::HeapFull),
}

/// The layout of so many bytes.
pub(super) fn layout(bytes: usize, align: usize) -> Result<Layout, ArenaError> {
    if !align.is_power_of_two() {
        return Err(ArenaError::Align { align });
    }
    let full = NativeError::from(SystemFull { bytes });
    Layout::from_size_align(bytes, align).map_err(|_| full.into())
}
