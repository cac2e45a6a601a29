//! Arenas that are freed when no object refers to them or to a segment of them any more.

use core::fmt;
use core::ops::{Deref, DerefMut, RangeBounds};
use core::ptr::NonNull;
use std::sync::{Arc, Weak};

use cspace_core::{Access, Alloc, Category, CellAccess, CellAccessMut, Gc, IObject, Static};

use super::error::ArenaError;
use super::memory::{Memory, Writing};
use super::segment::{get, place_behind, range_within, set};
use crate::bump::NativeError;
use crate::scalar::{ByteOrder, Scalar};

/// An arena whose memory is freed by the collector (the JDK's `Arena.ofAuto`): by the sweep of a collection that finds
/// neither it nor a segment of it reachable. It has no `close`. Until such a collection comes (in a space with a
/// period when that is over, else when enough was allocated or charged, or somebody asks) its memory stays, and stays
/// charged: what must go at a known time belongs in an arena that is closed.
///
/// A part of objects as a [`Gc`] is, and `Copy`, as are its segments.
///
/// ```
/// use cspace_core::{Access, Category, Space};
/// use cspace_native::{AutoArena, ByteOrder};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let arena = AutoArena::new(cx)?;
///     let segment = arena.allocate(cx, 100, 8)?;
///     segment.set(cx, 8, 1.5f64, ByteOrder::Native)?;
///     assert_eq!(segment.get::<f64, _>(cx, 8, ByteOrder::Native)?, 1.5);
///     assert!(cx.ledger().account(Category::Arenas).bytes >= 100);
///     Ok::<(), cspace_native::ArenaError>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(IObject)]
#[cspace(crate = cspace_core)]
pub struct AutoArena<'gc> {
    memory: Gc<'gc, Static<Arc<Memory>>>,
}

impl Clone for AutoArena<'_> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for AutoArena<'_> {}

impl<'gc> AutoArena<'gc> {
    /// An empty arena, whose memory is charged to the space's ledger.
    ///
    /// # Errors
    ///
    /// If the ledger or the heap is full.
    pub fn new(cx: &Alloc<'gc>) -> Result<AutoArena<'gc>, ArenaError> {
        let charge = cx.ledger().try_charge(Category::Arenas, 0).map_err(NativeError::from)?;
        let memory = Static(Arc::new(Memory::new(charge, usize::MAX)));
        let memory = cx.try_alloc(memory).map_err(|error| error.cause)?;
        Ok(AutoArena { memory })
    }

    /// So many bytes of zero, aligned.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, or there is no memory. If it is a limit of the ledger that is in the way, a
    /// collection is asked for as by [`Ledger::try_charge`](cspace_core::Ledger::try_charge).
    pub fn allocate(
        self,
        _: &Alloc<'gc>,
        bytes: usize,
        align: usize,
    ) -> Result<AutoSegment<'gc>, ArenaError> {
        let place = self.memory.as_ref().0.allocate(bytes, align)?;
        let range = Range(NonNull::slice_from_raw_parts(place, bytes));
        Ok(AutoSegment { memory: self.memory, range: Static(range), is_read_only: false })
    }

    /// Has `action` called when the arena is freed, before its memory is; what was registered last comes first. On the
    /// thread that sweeps, with no space held; or, if an [`AutoSegmentHandle`] lends bytes of the arena at that time, on
    /// that one's thread when it is done, whatever it holds then.
    pub fn on_free(self, action: impl FnOnce() + Send + 'static) {
        let registered = self.memory.as_ref().0.on_close(Box::new(action));
        debug_assert!(registered.is_ok(), "it is never closed");
    }

    /// Bytes that were given out, alignment included.
    pub fn used_bytes(self) -> usize {
        self.memory.as_ref().0.used_bytes()
    }
}

impl fmt::Debug for AutoArena<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoArena").field("used_bytes", &self.used_bytes()).finish()
    }
}

/// A range of an arena's memory.
#[derive(Clone, Copy)]
struct Range(NonNull<[u8]>);

// SAFETY: an address; its bytes are used by the rules of the segment.
unsafe impl Send for Range {}
// SAFETY: as above.
unsafe impl Sync for Range {}

/// Bytes of an [`AutoArena`], which keep it.
///
/// They are read in any access and written in exclusive ones, and borrowed from the token; outside of accesses an
/// [`AutoSegmentHandle`] lends them to read.
#[derive(IObject)]
#[cspace(crate = cspace_core)]
pub struct AutoSegment<'gc> {
    memory: Gc<'gc, Static<Arc<Memory>>>,
    range: Static<Range>,
    is_read_only: bool,
}

impl Clone for AutoSegment<'_> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for AutoSegment<'_> {}

impl<'gc> AutoSegment<'gc> {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.range.0 .0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn slice(self, range: impl RangeBounds<usize>) -> Result<AutoSegment<'gc>, ArenaError> {
        let (start, len) = range_within(range, self.len())?;
        let place = place_behind(self.range.0 .0.cast(), start);
        let range = Static(Range(NonNull::slice_from_raw_parts(place, len)));
        Ok(AutoSegment { range, ..self })
    }

    /// The same bytes, by a segment that does not write.
    pub fn read_only(self) -> AutoSegment<'gc> {
        AutoSegment { is_read_only: true, ..self }
    }

    /// The bytes, to read during the access.
    pub fn bytes<'a>(&self, _: &'a impl CellAccess<'gc>) -> &'a [u8]
    where
        'gc: 'a,
    {
        // SAFETY: the memory stays while the object does, and so for the access. To write takes the token of an
        // exclusive one mutably, which is borrowed for as long as the bytes.
        unsafe { &*self.range.0 .0.as_ptr() }
    }

    /// The bytes, to write.
    ///
    /// # Errors
    ///
    /// If the segment is read-only, or somebody outside of the access has bytes of the arena at the moment.
    pub fn bytes_mut<'a>(
        &self,
        _: &'a mut impl CellAccessMut<'gc>,
    ) -> Result<AutoBytesMut<'a>, ArenaError>
    where
        'gc: 'a,
    {
        if self.is_read_only {
            return Err(ArenaError::ReadOnly);
        }
        let memory: &'gc Memory = &self.memory.as_ref().0;
        // SAFETY: nobody has bytes by way of this access, whose token is borrowed mutably, and others use the lock (NB6).
        Ok(AutoBytesMut(unsafe { memory.write(self.range.0 .0) }?))
    }

    /// The number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within.
    pub fn get<T: Scalar, C: CellAccess<'gc>>(
        &self,
        cx: &C,
        offset: usize,
        order: ByteOrder,
    ) -> Result<T, ArenaError> {
        Ok(get(self.bytes(cx), offset, order)?)
    }

    /// Writes a number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within, or as [`bytes_mut`](AutoSegment::bytes_mut).
    pub fn set<T: Scalar>(
        &self,
        cx: &mut impl CellAccessMut<'gc>,
        offset: usize,
        number: T,
        order: ByteOrder,
    ) -> Result<(), ArenaError> {
        Ok(set(&mut self.bytes_mut(cx)?, offset, number, order)?)
    }

    /// A handle for threads outside of accesses. It does not keep the arena.
    pub fn handle(&self) -> AutoSegmentHandle {
        AutoSegmentHandle { memory: Arc::downgrade(&self.memory.as_ref().0), range: self.range.0 }
    }
}

impl fmt::Debug for AutoSegment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoSegment").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Bytes of an [`AutoSegment`], to write.
pub struct AutoBytesMut<'a>(Writing<'a>);

impl Deref for AutoBytesMut<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.bytes
    }
}

impl DerefMut for AutoBytesMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.bytes
    }
}

impl fmt::Debug for AutoBytesMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoBytesMut").field("len", &self.0.bytes.len()).finish()
    }
}

/// A way to the bytes of an [`AutoSegment`] outside of accesses. It does not keep the arena; while
/// [`with`](AutoSegmentHandle::with) runs the bytes stay, even if the arena is collected meanwhile.
#[derive(Clone)]
pub struct AutoSegmentHandle {
    memory: Weak<Memory>,
    range: Range,
}

impl AutoSegmentHandle {
    /// Calls `f` with the bytes.
    ///
    /// # Errors
    ///
    /// If the arena is gone, or somebody writes bytes of it.
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, ArenaError> {
        let memory = self.memory.upgrade().ok_or(ArenaError::Closed)?;
        // SAFETY: the range is of this memory; who writes it in an access has the lock (NB6).
        let reading = unsafe { memory.read(self.range.0) }?;
        Ok(f(reading.bytes))
    }
}

impl fmt::Debug for AutoSegmentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoSegmentHandle").field("len", &self.range.0.len()).finish()
    }
}
