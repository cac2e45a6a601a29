//! Chunks of memory that are given out front to back, charged before they are allocated, and freed together.
//!
//! Kept here rather than taken from a library, as every chunk has to be charged to a ledger before it is asked for, a
//! failure of either must be an error, all memory is zero, and what a context leaves behind is used again by the next
//! one without a word to the system.
//!
//! - **NZ1 (apart).** Ranges that were given out since the last reset do not overlap and lie in chunks that stay until
//!   a reset or the end.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use cspace_core::{Charge, MemoryFull, PendingCharge};

use crate::source::{self, SystemFull};

/// The alignment of chunks: what every allocator gives without ado.
pub(crate) const CHUNK_ALIGN: usize = 16;
/// Bytes of the first chunk, if nothing says otherwise: an arena for little is opened quickly.
const CHUNK_MIN: usize = 1024;
/// Bytes that chunks grow to.
const CHUNK_MAX: usize = 1 << 20;

/// Memory outside of the heap could not be had. Nothing is charged or allocated then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// A limit of the ledger would be passed.
    #[error(transparent)]
    Memory(#[from] MemoryFull),
    /// The system gave no memory, or the size is larger than any can be.
    #[error(transparent)]
    System(#[from] SystemFull),
    /// The limit of the arena would be passed.
    #[error(
        "{requested} bytes more would pass the arena's limit of {limit} bytes ({used} in use)"
    )]
    Limit {
        /// Bytes that were asked for.
        requested: usize,
        /// Bytes given out, alignment included.
        used: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

pub(crate) struct Bump {
    /// Dropped before the charge, which gives back what they took as a whole.
    chunks: Vec<Chunk>,
    /// The chunk that is given out of.
    current: usize,
    /// How much of it was.
    at: usize,
    /// Bytes given out since the last reset, alignment included.
    used: usize,
    limit: usize,
    charge: Charge,
}

struct Chunk {
    base: NonNull<u8>,
    bytes: usize,
    /// From here on it is zero, as it came.
    clean_from: usize,
}

// SAFETY: the memory is this one's; ranges that were given out are the business of whoever asked for them.
unsafe impl Send for Bump {}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, CHUNK_ALIGN).ok()
}

/// Bytes of a chunk in which there is room for a layout: what wants a larger alignment than chunks have may have to
/// skip as much.
pub(crate) fn chunk_bytes(wanted: Layout) -> Option<usize> {
    let skip = if wanted.align() > CHUNK_ALIGN { wanted.align() } else { 0 };
    wanted.size().checked_add(skip)
}

impl Bump {
    /// No chunk yet. What chunks take is added to `charge`.
    pub(crate) fn new(charge: Charge, limit: usize) -> Bump {
        Bump { chunks: Vec::new(), current: 0, at: 0, used: 0, limit, charge }
    }

    /// Bytes given out since the last reset, alignment included.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Bytes that chunks take.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    /// A range of zeros (NZ1). Of no bytes: somewhere aligned.
    pub(crate) fn allocate(&mut self, wanted: Layout) -> Result<NonNull<u8>, NativeError> {
        let full = SystemFull { bytes: wanted.size() };
        if wanted.size() == 0 {
            let at = core::ptr::without_provenance_mut(wanted.align());
            return NonNull::new(at).ok_or(full.into());
        }
        loop {
            if let Some(chunk) = self.chunks.get(self.current) {
                let (start, end) = chunk.place(self.at, wanted).ok_or(full)?;
                if end <= chunk.bytes {
                    self.count(end - self.at)?;
                    self.at = end;
                    return Ok(self.give_out(start, end));
                }
                // The rest of it stays unused until a reset.
                if self.current + 1 < self.chunks.len() {
                    self.current += 1;
                    self.at = 0;
                    continue;
                }
            }
            self.grow(wanted)?;
        }
    }

    /// Makes the range that was given out last longer, if its chunk has room. What is new of it is zero.
    pub(crate) fn extend_last(
        &mut self,
        place: NonNull<u8>,
        len: usize,
        wanted: usize,
    ) -> Result<bool, NativeError> {
        let Some(start) = self.start_of_last(place, len) else { return Ok(false) };
        let end = start.saturating_add(wanted);
        if end > self.chunks[self.current].bytes {
            return Ok(false);
        }
        self.count(wanted.saturating_sub(len))?;
        self.at = end;
        self.give_out(start + len, end);
        Ok(true)
    }

    /// Takes back what is behind the first `keep` bytes of a range, if it was given out last. Its user has no
    /// reference to them.
    pub(crate) fn shrink_last(&mut self, place: NonNull<u8>, len: usize, keep: usize) {
        if let Some(start) = self.start_of_last(place, len) {
            self.at = start + keep;
            self.used -= len - keep;
        }
    }

    /// Where in the current chunk a range begins that was given out last.
    fn start_of_last(&self, place: NonNull<u8>, len: usize) -> Option<usize> {
        let base = self.chunks.get(self.current)?.base.as_ptr().addr();
        let start = place.as_ptr().addr().checked_sub(base)?;
        (start.checked_add(len) == Some(self.at)).then_some(start)
    }

    fn check_limit(&self, requested: usize) -> Result<(), NativeError> {
        let (used, limit) = (self.used, self.limit);
        if requested > limit.saturating_sub(used) {
            return Err(NativeError::Limit { requested, used, limit });
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), NativeError> {
        self.check_limit(bytes)?;
        self.used += bytes;
        Ok(())
    }

    /// The range of the current chunk, made zero.
    fn give_out(&mut self, start: usize, end: usize) -> NonNull<u8> {
        let chunk = &mut self.chunks[self.current];
        // SAFETY: the range lies in the chunk and was not given out since the last reset (NZ1).
        let at = unsafe { chunk.base.add(start) };
        if start < chunk.clean_from {
            // SAFETY: as above.
            unsafe { at.as_ptr().write_bytes(0, end.min(chunk.clean_from) - start) };
        }
        chunk.clean_from = chunk.clean_from.max(end);
        at
    }

    /// One chunk more, large enough for a layout.
    fn grow(&mut self, wanted: Layout) -> Result<(), NativeError> {
        let full = SystemFull { bytes: wanted.size() };
        let least = chunk_bytes(wanted).ok_or(full)?;
        source::check(least)?;
        self.check_limit(wanted.size())?;
        let doubled = self.chunks.last().map_or(CHUNK_MIN, |last| last.bytes.saturating_mul(2));
        let bytes = doubled.min(CHUNK_MAX);
        // A large chunk that is refused may do as a small one: nobody is asked to make room for it.
        if bytes > least {
            if let Some(charge) = self.charge.begin_grow_if_room(bytes) {
                if let Ok(chunk) = self.chunk(bytes) {
                    return self.add(chunk, charge, wanted);
                }
            }
        }
        let charge = self.charge.try_begin_grow(least)?;
        let chunk = self.chunk(least)?;
        self.add(chunk, charge, wanted)
    }

    /// One chunk more, of so many bytes.
    pub(crate) fn grow_by(&mut self, bytes: usize) -> Result<(), NativeError> {
        source::check(bytes)?;
        let charge = self.charge.try_begin_grow(bytes)?;
        let chunk = self.chunk(bytes)?;
        self.add(chunk, charge, Layout::new::<()>())
    }

    /// A chunk of so many bytes, and room in the list for it.
    fn chunk(&mut self, bytes: usize) -> Result<Chunk, SystemFull> {
        let full = SystemFull { bytes };
        let layout = layout(bytes).ok_or(full)?;
        self.chunks.try_reserve(1).map_err(|_| full)?;
        let base = source::allocate_zeroed(layout)?;
        Ok(Chunk { base, bytes, clean_from: 0 })
    }

    /// Adds a chunk, there being room for it in the list, which is given out of from now on: unless what is wanted
    /// of it passes the limit, as the chunk's address tells.
    fn add(
        &mut self,
        chunk: Chunk,
        charge: PendingCharge,
        wanted: Layout,
    ) -> Result<(), NativeError> {
        let taken = chunk.place(0, wanted).map_or(usize::MAX, |(_, end)| end);
        self.check_limit(taken)?;
        self.charge.add(charge);
        self.chunks.push(chunk);
        self.current = self.chunks.len() - 1;
        self.at = 0;
        Ok(())
    }

    /// Takes everything back that was given out, and frees all chunks but the first, and that one, too, if it is larger
    /// than `keep`.
    ///
    /// # Safety
    ///
    /// Nobody uses what was given out any more.
    pub(crate) unsafe fn reset(&mut self, keep: usize) {
        let kept = usize::from(self.chunks.first().is_some_and(|first| first.bytes <= keep));
        let freed = self.chunks.drain(kept..).map(|chunk| chunk.bytes).sum();
        self.charge.shrink(freed);
        (self.current, self.at, self.used) = (0, 0, 0);
    }
}

impl Chunk {
    /// Where the next range for a layout begins and ends, if what lies before `at` was given out.
    fn place(&self, at: usize, wanted: Layout) -> Option<(usize, usize)> {
        let base = self.base.as_ptr().addr();
        let start = base.checked_add(at)?.checked_next_multiple_of(wanted.align())? - base;
        Some((start, start.checked_add(wanted.size())?))
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let layout = layout(self.bytes).expect("as it was allocated");
        // SAFETY: allocated with this layout; nobody uses it any more: it was given out of to nobody yet, or this is a
        // reset or the end.
        unsafe { source::free(self.base, layout) };
    }
}

impl fmt::Debug for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bump").field("used", &self.used).field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cspace_core::{Category, Ledger};

    fn bump(ledger: &Ledger, limit: usize) -> Bump {
        Bump::new(ledger.try_charge(Category::Arenas, 0).unwrap(), limit)
    }

    fn wanted(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn ranges_are_aligned_apart_and_zero_also_after_a_reset() {
        let ledger = Ledger::default();
        let mut bump = bump(&ledger, usize::MAX);
        for _ in 0..3 {
            let mut ranges = Vec::new();
            for i in 0..if cfg!(miri) { 50 } else { 500 } {
                let layout = wanted(i * 7 % 300, 1 << (i % 15));
                let at = bump.allocate(layout).unwrap();
                assert_eq!(at.as_ptr().addr() % layout.align(), 0);
                for offset in 0..layout.size() {
                    // SAFETY: within the range.
                    unsafe {
                        assert_eq!(*at.as_ptr().add(offset), 0);
                        *at.as_ptr().add(offset) = 0xaa;
                    }
                }
                ranges.push((at.as_ptr().addr(), layout.size()));
            }
            ranges.retain(|(_, size)| *size > 0);
            ranges.sort_unstable();
            assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
            assert_eq!(ledger.charged(), bump.bytes());
            // SAFETY: nothing is used any more.
            unsafe { bump.reset(CHUNK_MIN) };
            assert_eq!((bump.used(), bump.bytes()), (0, CHUNK_MIN));
        }
        // SAFETY: as above.
        unsafe { bump.reset(CHUNK_MIN - 1) };
        assert_eq!(bump.bytes(), 0);
        bump.allocate(wanted(10, 1)).unwrap();
        drop(bump);
        assert_eq!(ledger.charged(), 0);
    }

    #[test]
    fn limits_and_sizes_beyond_all_memory_are_errors() {
        let ledger = Ledger::default();
        let mut limited = bump(&ledger, 100);
        limited.allocate(wanted(90, 1)).unwrap();
        let refused = limited.allocate(wanted(11, 1)).unwrap_err();
        assert_eq!(refused, NativeError::Limit { requested: 11, used: 90, limit: 100 });
        limited.allocate(wanted(10, 1)).unwrap();
        assert!(limited.allocate(wanted(1, 1)).is_err());
        ledger.set_category_limit(Category::Arenas, Some(CHUNK_MIN + 900));
        assert!(bump(&ledger, usize::MAX).allocate(wanted(901, 1)).is_err());
        drop(limited);
        let mut small = bump(&ledger, usize::MAX);
        small.allocate(wanted(CHUNK_MIN, 1)).unwrap();
        // No room for a chunk of twice the size, but for what is needed.
        small.allocate(wanted(900, 1)).unwrap();
        assert!(matches!(small.allocate(wanted(5, 1)), Err(NativeError::Memory(_))));
        drop(small);
        let mut huge = bump(&Ledger::default(), usize::MAX);
        assert!(matches!(
            huge.allocate(wanted(isize::MAX as usize - 10, 1)),
            Err(NativeError::System(_))
        ));
        assert!(huge.allocate(wanted(isize::MAX as usize / 2, 1 << 61)).is_err());
        huge.allocate(wanted(1, 1 << 20)).unwrap();
    }
}
