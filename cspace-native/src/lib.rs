//! Memory that is not objects: what an interpreter needs outside of the heap, with the lifetimes and the limits of a
//! space.
//!
//! - [`DirectBuffer`] and [`MappedBuffer`]: bytes and files whose owner is the collector;
//! - [`ConfinedArena`], [`SharedArena`], [`AutoArena`], [`GlobalArena`], [`CheckedArena`]: memory that is given out in
//!   segments and freed together;
//! - [`Config`] and [`Context`]: memory whose layout is known before it is needed, a block for each request;
//! - [`RecyclingAllocator`], [`Operation`], [`OperationFuture`], [`Handler`]: memory of asynchronous operations, used
//!   again by the next one.
//!
//! All of it is charged to a [`Ledger`](cspace_core::Ledger) before it is allocated, of a space or of none, and every
//! failure, of a limit or of the system, is an error. What the system refuses leaves no trace in the ledger; what can never
//! be had, as it is more than a limit allows in all or than any memory, is refused at once, and nothing is collected or
//! evicted for it. What a handle itself takes (an `Arc`, a boxed closure) is allocated as everywhere in Rust.
//!
//! # Who frees what, and when?
//!
//! | memory | owner | freed |
//! |---|---|---|
//! | [`DirectBuffer`], [`MappedBuffer`], [`AutoArena`] | the collector | by the sweep of a collection that finds no object that refers to it or to a part; at once by `free` (not arenas) |
//! | [`ConfinedArena`], [`CheckedArena`] | a thread | when it is closed or dropped |
//! | [`SharedArena`] | whoever closes it | when it is closed, which is an error while it is in use; with its last handle |
//! | [`GlobalArena`] | nobody | never |
//! | [`Context`] | a request | at its end, all together; kept for the next |
//! | [`Operation`] | an operation | before its handler runs; kept for the next |
//!
//! # What are they called elsewhere?
//!
//! | there | here |
//! |---|---|
//! | **ceda**: memory that objects own, counted in their size | [`Charge`](cspace_core::Charge) in an object; `report_external_bytes` |
//! | **JDK, coffi**: `Arena.ofConfined`, `confined-arena` | [`ConfinedArena`]; checked when it runs: [`CheckedArena`] |
//! | `Arena.ofShared`, `shared-arena` | [`SharedArena`] |
//! | `Arena.ofAuto`, `auto-arena` | [`AutoArena`] |
//! | `Arena.global`, `global-arena` | [`GlobalArena`] |
//! | `MemorySegment` | [`Segment`], [`SegmentMut`]; [`SharedSegment`], [`AutoSegment`]; [`SegmentHandle`] |
//! | `MemorySegment.NULL` | [`Segment::EMPTY`] |
//! | `allocate`, `alloc` | `allocate` |
//! | `asSlice`, `slice`, `slice-segments` | `slice`, [`Segment::slices`] |
//! | `reinterpret`, `as-segment` | `reinterpret` |
//! | `close` | `close`; the second one does not compile, or is an error |
//! | close actions | `on_close` |
//! | `whileAlive`, acquire and release | [`SharedSegment::acquire`], [`SharedArena::keep_open`] |
//! | `SegmentAllocator.slicingAllocator`, `prefixAllocator` | [`SlicingAllocator`], [`PrefixAllocator`] |
//! | `arena-allocator` | `&ConfinedArena`, [`SharedArena::allocator`] |
//! | `ByteOrder`, `ValueLayout` | [`ByteOrder`], [`Scalar`] |
//! | **TxnBox**: `Config` while it is loaded | [`ConfigBuilder`] |
//! | `Config` | [`Config`], shared by `Arc` |
//! | `reserve_ctx_storage`, `ReservedSpan` | for a type: [`ConfigBuilder::reserve`], [`SlotKey`]; for a length: [`ConfigBuilder::reserve_span`], [`SpanKey`] |
//! | `Context` | [`Context`] |
//! | `storage_for` | [`Context::slot_or_zeroed`], [`Context::span_or_zeroed`]: zeros the first time, and for types that may be zero only. What was asked for so counts as initialised, so the next row's find it and make nothing; [`Context::slot`] and [`span`](Context::span) only look, and find nothing until then |
//! | `initialized_storage_for` | [`Context::slot_or_init`], [`Context::span_or_init`]; here the context drops what was made, there it does not |
//! | overflow list | what [`Config::reserve_late`] and [`reserve_span_late`](Config::reserve_span_late) use |
//! | `alloc_span`, `make`, `localize` | the same; what they give is reached by a [`ContextHandle`]. A span of values with drops: [`Context::make_span`] |
//! | `obtain_named_object`, `named_object` | the same, with checked types |
//! | `drtv_info` | [`ConfigBuilder::class_data`], [`Config::class_data`]: found by the type of the class, not by its name (for names: the row above), and made when it is first asked for, not for each class that there is |
//! | `mark_for_cleanup` | the same, in reverse order |
//! | `transient_buffer`, `require`, `finalize`, `commit`, `discard` | [`Context::transient_buffer`], [`Transient`] |
//! | reload of the configuration | [`ConfigCell`] |
//! | **Asio**: recycling allocator, `thread_info_base` | [`RecyclingAllocator`] |
//! | its purpose tags | [`Purpose`] |
//! | `associated_allocator` | [`Handler::allocator_or`] |
//! | `bind_allocator` | [`bind_allocator`] |
//! | per-operation stable memory | [`Operation`]: its state, and what that allocates by [`Operation::allocator`] |
//! | release, then upcall | [`Operation::complete`] |
//! | coroutine frame | [`OperationFuture`] |
//! | **Java**: `ByteBuffer.allocateDirect` | [`DirectBuffer::allocate`] |
//! | `Bits.reserveMemory` | [`Reservation`], [`Ledger::charge`](cspace_core::Ledger::charge) |
//! | `-XX:MaxDirectMemorySize` | [`Ledger::set_category_limit`](cspace_core::Ledger::set_category_limit) |
//! | `slice`, `duplicate`, `asReadOnlyBuffer`, attachment | [`DirectBuffer::slice`], copies, [`DirectBuffer::read_only`]; views hold the root |
//! | `Cleaner`, `Deallocator` | the drop of the object behind the buffer; [`DirectBuffer::free`] |
//! | `FileChannel.map`, `MappedByteBuffer`, `Unmapper` | [`MappedBuffer::map`], [`Mapping`] |
//! | `force`, `load` | [`MappedBuffer::flush`], [`MappedBuffer::advise`] |
//! | `BufferPoolMXBean`: `direct`, `mapped` | [`Ledger::account`](cspace_core::Ledger::account) of [`Category::Buffers`](cspace_core::Category::Buffers) and [`Maps`](cspace_core::Category::Maps) |

mod arena;
mod buffer;
mod bump;
mod chain;
mod cleanup;
mod contexts;
mod operation;
pub mod protocol;
mod scalar;
mod source;
mod span;

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
    ReserveError, SlotError, SlotKey, SpanKey, Transient, TransientError, TypeMismatch,
    WrongContext,
};
pub use operation::{
    bind_allocator, Bound, Charged, Handler, Operation, OperationFuture, Purpose,
    RecyclingAllocator, StartError,
};
pub use scalar::{ByteOrder, Scalar};
#[cfg(feature = "faults")]
pub use source::fault;
pub use source::SystemFull;
