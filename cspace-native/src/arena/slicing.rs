//! Allocators over a segment: one range behind the other, or the same again and again; and memory that is never freed.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::alloc::Layout;
use std::sync::{LazyLock, Mutex, PoisonError};

use allocator_api2::alloc::{AllocError, Allocator};
use cspace_core::{Category, Ledger};

use super::error::{layout, ArenaError};
use super::segment::{OutOfRange, SegmentMut};
use crate::bump::Bump;

/// Gives out a segment from its front to its back (the JDK's `SegmentAllocator.slicingAllocator`). `&SlicingAllocator`
/// is an [`Allocator`] for collections.
///
/// ```
/// use cspace_native::{SegmentMut, SlicingAllocator};
///
/// let mut bytes = [0; 16];
/// let slices = SlicingAllocator::new(SegmentMut::new(&mut bytes));
/// let (first, second) = (slices.allocate(3, 1)?, slices.allocate(4, 1)?);
/// assert_eq!(second.as_ptr().addr() - first.as_ptr().addr(), 3);
/// assert!(slices.allocate(10, 1).is_err());
/// # Ok::<(), cspace_native::ArenaError>(())
/// ```
pub struct SlicingAllocator<'a> {
    base: NonNull<u8>,
    len: usize,
    /// What lies before was given out.
    at: Cell<usize>,
    of: PhantomData<&'a mut [u8]>,
}

impl<'a> SlicingAllocator<'a> {
    /// Gives out a segment.
    pub fn new(segment: SegmentMut<'a>) -> SlicingAllocator<'a> {
        let bytes = segment.into_slice();
        let len = bytes.len();
        SlicingAllocator {
            base: NonNull::from(bytes).cast(),
            len,
            at: Cell::new(0),
            of: PhantomData,
        }
    }

    /// The next bytes, as they are in the segment.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, or the segment has not as many left.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<SegmentMut<'a>, ArenaError> {
        let place = self.take(layout(bytes, align)?)?;
        // SAFETY: a range of the segment, which is this allocator's for `'a`, that was not given out before.
        Ok(SegmentMut::new(unsafe { core::slice::from_raw_parts_mut(place.as_ptr(), bytes) }))
    }

    fn take(&self, wanted: Layout) -> Result<NonNull<u8>, OutOfRange> {
        let base = self.base.as_ptr().addr();
        let full = OutOfRange { offset: self.at.get(), len: wanted.size(), of: self.len };
        let start = (base + self.at.get()).checked_next_multiple_of(wanted.align()).ok_or(full)?;
        let start = start - base;
        let end = start.checked_add(wanted.size()).filter(|end| *end <= self.len).ok_or(full)?;
        self.at.set(end);
        // SAFETY: `start` lies in the segment, or just behind it.
        Ok(unsafe { self.base.add(start) })
    }
}

// SAFETY: ranges are given out once, and are there for `'a`, which the reference does not outlive.
unsafe impl Allocator for &SlicingAllocator<'_> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let place = self.take(layout).map_err(|_| AllocError)?;
        Ok(NonNull::slice_from_raw_parts(place, layout.size()))
    }

    unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {}
}

impl fmt::Debug for SlicingAllocator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlicingAllocator")
            .field("at", &self.at.get())
            .field("len", &self.len)
            .finish()
    }
}

/// Gives out the front of a segment, the same for each that comes (the JDK's `SegmentAllocator.prefixAllocator`): for
/// what is needed one at a time.
#[derive(Debug)]
pub struct PrefixAllocator<'a> {
    segment: SegmentMut<'a>,
}

impl<'a> PrefixAllocator<'a> {
    /// Gives out the front of a segment.
    pub fn new(segment: SegmentMut<'a>) -> PrefixAllocator<'a> {
        PrefixAllocator { segment }
    }

    /// The first so many bytes that are aligned so, as they are in the segment.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, or the segment has not as many.
    pub fn allocate(&mut self, bytes: usize, align: usize) -> Result<SegmentMut<'_>, ArenaError> {
        layout(bytes, align)?;
        let start = self.segment.as_ptr().align_offset(align);
        let end = start.saturating_add(bytes);
        Ok(self.segment.slice_mut(start..end)?)
    }
}

/// Memory that is never freed, for any thread (the JDK's `Arena.global`).
///
/// For what lives as long as the process. Charged to a ledger of its own.
#[derive(Clone, Copy, Debug)]
pub struct GlobalArena;

static GLOBAL: LazyLock<(Ledger, Mutex<Bump>)> = LazyLock::new(|| {
    let ledger = Ledger::default();
    let charge = ledger.try_charge(Category::Arenas, 0).expect("it has no limit");
    (ledger, Mutex::new(Bump::new(charge, usize::MAX)))
});

impl GlobalArena {
    /// So many bytes of zero, aligned.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, or there is no memory.
    pub fn allocate(self, bytes: usize, align: usize) -> Result<SegmentMut<'static>, ArenaError> {
        let layout = layout(bytes, align)?;
        let mut bump = GLOBAL.1.lock().unwrap_or_else(PoisonError::into_inner);
        let place = bump.allocate(layout)?;
        // SAFETY: zeroed, given out once, never freed.
        Ok(SegmentMut::new(unsafe { core::slice::from_raw_parts_mut(place.as_ptr(), bytes) }))
    }

    /// Its ledger.
    pub fn ledger(self) -> Ledger {
        GLOBAL.0.clone()
    }
}
