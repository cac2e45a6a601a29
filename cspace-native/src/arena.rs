//! Arenas: memory that is given out in segments and freed together.
//!
//! The four kinds of the JDK's `java.lang.foreign.Arena`, which coffi brings to Clojure. The names of both:
//!
//! | JDK, coffi | here |
//! |---|---|
//! | `Arena.ofConfined`, `confined-arena` | [`ConfinedArena`]; checked at run time: [`CheckedArena`] |
//! | `Arena.ofShared`, `shared-arena` | [`SharedArena`] |
//! | `Arena.ofAuto`, `auto-arena` | [`AutoArena`] |
//! | `Arena.global`, `global-arena` | [`GlobalArena`] |
//! | `MemorySegment` | [`Segment`], [`SegmentMut`]; [`SharedSegment`], [`AutoSegment`]; [`SegmentHandle`] |
//! | `MemorySegment.NULL` | [`Segment::EMPTY`] |
//! | `allocate`, `alloc` | `allocate` |
//! | `asSlice`, `slice`, `slice-segments` | `slice`, [`Segment::slices`] |
//! | `reinterpret`, `as-segment` | `reinterpret` |
//! | `close` | `close`; the second one does not compile, or is an error |
//! | close actions, `addCloseAction` | `on_close` |
//! | `whileAlive`, acquire and release | [`SharedSegment::acquire`], [`SharedArena::keep_open`] |
//! | `SegmentAllocator.slicingAllocator`, `prefixAllocator` | [`SlicingAllocator`], [`PrefixAllocator`] |
//! | `arena-allocator` | `&ConfinedArena`, [`SharedArena::allocator`] |

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
