//! Arenas: memory that is given out in segments and freed together.
//!
//! The four kinds of the JDK's `java.lang.foreign.Arena`, which coffi brings to Clojure.

mod actions;
mod auto;
mod confined;
mod error;
mod handle;
mod memory;
mod segment;
mod shared;
mod slicing;

pub use auto::{AutoArena, AutoBytesMut, AutoSegment, AutoSegmentHandle};
pub use confined::ConfinedArena;
pub use error::ArenaError;
pub use handle::{CheckedArena, SegmentHandle};
pub use segment::{OutOfRange, Segment, SegmentMut};
pub use shared::{Acquired, AcquiredMut, SharedArena, SharedArenaAllocator, SharedSegment};
pub use slicing::{GlobalArena, PrefixAllocator, SlicingAllocator};
