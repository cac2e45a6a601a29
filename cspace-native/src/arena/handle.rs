//! Segments that are checked at each use: for interpreters whose scripts hold them.

use core::fmt;
use core::ops::RangeBounds;
use core::ptr::NonNull;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use cspace_core::{Category, Ledger, MemoryFull};

use super::error::ArenaError;
use super::memory::Memory;
use super::segment::{get, place_behind, range_within, set};
use crate::cleanup::CleanupPanics;
use crate::scalar::{ByteOrder, Scalar};

/// An arena of one thread whose segments are checked when they are used and not when they are compiled: a use by
/// another thread, or after the close, is an error value.
///
/// ```
/// use cspace_core::Ledger;
/// use cspace_native::{ArenaError, ByteOrder, CheckedArena};
///
/// let arena = CheckedArena::new(&Ledger::default())?;
/// let segment = arena.allocate(100, 1)?;
/// segment.set(10, 7u32, ByteOrder::Little)?;
/// let part = segment.slice(8..16)?;
/// assert_eq!(part.get::<u8>(2, ByteOrder::Little)?, 7);
/// let on_another = part.clone();
/// let refused = std::thread::spawn(move || on_another.get::<u8>(2, ByteOrder::Little));
/// assert_eq!(refused.join().unwrap(), Err(ArenaError::WrongThread));
/// arena.close()??;
/// assert_eq!(part.get::<u8>(2, ByteOrder::Little), Err(ArenaError::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CheckedArena {
    memory: Arc<Memory>,
    thread: ThreadId,
}

impl CheckedArena {
    /// An empty arena of this thread, whose memory is charged to a ledger.
    ///
    /// # Errors
    ///
    /// If the ledger is full.
    pub fn new(ledger: &Ledger) -> Result<CheckedArena, MemoryFull> {
        let memory = Memory::new(ledger.try_charge(Category::Arenas, 0)?, usize::MAX);
        Ok(CheckedArena { memory: Arc::new(memory), thread: thread::current().id() })
    }

    /// So many bytes of zero, aligned.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, there is no memory, the arena was closed, or this is another thread.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<SegmentHandle, ArenaError> {
        check_thread(Some(self.thread))?;
        SegmentHandle::allocate(&self.memory, bytes, align, Some(self.thread))
    }

    /// Has `action` called when the arena is closed or dropped; at once if it was closed.
    ///
    /// # Errors
    ///
    /// If this is another thread.
    pub fn on_close(&self, action: impl FnOnce() + Send + 'static) -> Result<(), ArenaError> {
        check_thread(Some(self.thread))?;
        if let Err(action) = self.memory.on_close(Box::new(action)) {
            action();
        }
        Ok(())
    }

    /// Runs the actions and frees the memory.
    ///
    /// # Errors
    ///
    /// If a segment is in use, the arena was closed before, or this is another thread. In the inner result, if actions
    /// panicked.
    pub fn close(&self) -> Result<Result<(), CleanupPanics>, ArenaError> {
        check_thread(Some(self.thread))?;
        self.memory.close()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.memory.gate.is_closed()
    }
}

fn check_thread(thread: Option<ThreadId>) -> Result<(), ArenaError> {
    match thread {
        Some(thread) if thread != thread::current().id() => Err(ArenaError::WrongThread),
        _ => Ok(()),
    }
}

/// Bytes of an arena, by a handle that can be copied and is checked at each use: a use after the close is an error
/// value. `Send` and `Sync`, and `'static`: a part of objects as `Static<SegmentHandle>`.
///
/// Several handles may stand for the same bytes, so those of one arena are read by several at a time, or written by one;
/// who comes in between gets [`ArenaError::Borrowed`].
#[derive(Clone)]
pub struct SegmentHandle {
    memory: Arc<Memory>,
    range: NonNull<[u8]>,
    thread: Option<ThreadId>,
    is_read_only: bool,
}

// SAFETY: bytes are used with the memory's lock alone (NB6).
unsafe impl Send for SegmentHandle {}
// SAFETY: as above.
unsafe impl Sync for SegmentHandle {}

impl SegmentHandle {
    pub(super) fn allocate(
        memory: &Arc<Memory>,
        bytes: usize,
        align: usize,
        thread: Option<ThreadId>,
    ) -> Result<SegmentHandle, ArenaError> {
        let place = memory.allocate(bytes, align)?;
        let range = NonNull::slice_from_raw_parts(place, bytes);
        Ok(SegmentHandle { memory: Arc::clone(memory), range, thread, is_read_only: false })
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the arena was closed.
    pub fn is_closed(&self) -> bool {
        self.memory.gate.is_closed()
    }

    /// A part.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<SegmentHandle, ArenaError> {
        let (start, len) = range_within(range, self.len())?;
        let place = place_behind(self.range.cast(), start);
        Ok(SegmentHandle { range: NonNull::slice_from_raw_parts(place, len), ..self.clone() })
    }

    /// The same bytes, by a handle that does not write.
    pub fn read_only(&self) -> SegmentHandle {
        SegmentHandle { is_read_only: true, ..self.clone() }
    }

    /// Calls `f` with the bytes; the arena is not closed meanwhile.
    ///
    /// # Errors
    ///
    /// If the arena was closed, this is the wrong thread, or somebody writes bytes of the arena.
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, ArenaError> {
        check_thread(self.thread)?;
        // SAFETY: the range was given out for handles, which use the lock (NB6).
        let reading = unsafe { self.memory.read(self.range) }?;
        Ok(f(reading.bytes))
    }

    /// Calls `f` with the bytes, to write; the arena is not closed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`with`](SegmentHandle::with), if somebody reads bytes of the arena, or if the handle is read-only.
    pub fn with_mut<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> Result<R, ArenaError> {
        if self.is_read_only {
            return Err(ArenaError::ReadOnly);
        }
        check_thread(self.thread)?;
        // SAFETY: as above.
        let writing = unsafe { self.memory.write(self.range) }?;
        Ok(f(writing.bytes))
    }

    /// The number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within, or as [`with`](SegmentHandle::with).
    pub fn get<T: Scalar>(&self, offset: usize, order: ByteOrder) -> Result<T, ArenaError> {
        Ok(self.with(|bytes| get(bytes, offset, order))??)
    }

    /// Writes a number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within, or as [`with_mut`](SegmentHandle::with_mut).
    pub fn set<T: Scalar>(
        &self,
        offset: usize,
        number: T,
        order: ByteOrder,
    ) -> Result<(), ArenaError> {
        Ok(self.with_mut(|bytes| set(bytes, offset, number, order))??)
    }
}

impl fmt::Debug for SegmentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentHandle")
            .field("len", &self.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
