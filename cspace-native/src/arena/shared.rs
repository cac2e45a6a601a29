//! Arenas of several threads, which can be closed when nobody uses them.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use std::alloc::Layout;
use std::sync::Arc;

use allocator_api2::alloc::{AllocError, Allocator};
use cspace_core::{Category, Ledger, MemoryFull};

use super::error::ArenaError;
use super::handle::SegmentHandle;
use super::memory::Memory;
use super::segment::{place_behind, OutOfRange};
use crate::cleanup::CleanupPanics;

/// An arena that any thread uses and closes (the JDK's `Arena.ofShared`). A handle: clones are the same arena.
///
/// [`close`](SharedArena::close) is an error while a segment is in use ([`SharedSegment::acquire`]), and a segment cannot
/// be used after it: neither stops any thread. Memory is zero, and all freed at once, at the latest with the last handle
/// on the arena or a segment.
///
/// ```
/// use cspace_core::Ledger;
/// use cspace_native::{ArenaError, SharedArena};
///
/// let arena = SharedArena::new(&Ledger::default())?;
/// let mut segment = arena.allocate(100, 1)?;
/// std::thread::scope(|threads| {
///     threads.spawn(|| segment.acquire_mut().unwrap()[0] = 1);
/// });
/// let acquired = segment.acquire()?;
/// assert_eq!(acquired[0], 1);
/// assert_eq!(arena.close().unwrap_err(), ArenaError::Acquired { count: 1 });
/// drop(acquired);
/// arena.close()??;
/// assert!(segment.acquire().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedArena {
    memory: Arc<Memory>,
}

impl SharedArena {
    /// An empty arena whose memory is charged to a ledger.
    ///
    /// # Errors
    ///
    /// If the ledger is full.
    pub fn new(ledger: &Ledger) -> Result<SharedArena, MemoryFull> {
        SharedArena::with_limit(ledger, usize::MAX)
    }

    /// As [`new`](SharedArena::new); of more than `limit` bytes, alignment included, it gives none.
    ///
    /// # Errors
    ///
    /// As [`new`](SharedArena::new).
    pub fn with_limit(ledger: &Ledger, limit: usize) -> Result<SharedArena, MemoryFull> {
        let memory = Memory::new(ledger.try_charge(Category::Arenas, 0)?, limit);
        Ok(SharedArena { memory: Arc::new(memory) })
    }

    /// So many bytes of zero, aligned.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, there is no memory, or the arena was closed.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<SharedSegment, ArenaError> {
        let place = self.memory.allocate(bytes, align)?;
        let range = NonNull::slice_from_raw_parts(place, bytes);
        Ok(SharedSegment { memory: Arc::clone(&self.memory), range })
    }

    /// As [`allocate`](SharedArena::allocate), for a handle that can be copied and is checked at each use: for scripts.
    ///
    /// # Errors
    ///
    /// As [`allocate`](SharedArena::allocate).
    pub fn allocate_handle(&self, bytes: usize, align: usize) -> Result<SegmentHandle, ArenaError> {
        SegmentHandle::allocate(&self.memory, bytes, align, None)
    }

    /// Has `action` called when the arena is closed or dropped, before its memory is freed; what was registered last
    /// comes first. If the arena was closed already, at once: what it cleans up is not left behind.
    pub fn on_close(&self, action: impl FnOnce() + Send + 'static) {
        if let Err(action) = self.memory.on_close(Box::new(action)) {
            action();
        }
    }

    /// Foreign memory as a segment of this arena. `cleanup` gets it when the arena is closed, or at once if it was.
    ///
    /// # Safety
    ///
    /// The memory is initialised and the caller's alone, and stays so until `cleanup` is called.
    ///
    /// # Errors
    ///
    /// If the arena was closed; `cleanup` was called then.
    pub unsafe fn reinterpret(
        &self,
        memory: NonNull<[u8]>,
        cleanup: impl FnOnce(NonNull<[u8]>) + Send + 'static,
    ) -> Result<SharedSegment, ArenaError> {
        struct Foreign(NonNull<[u8]>);
        // SAFETY: the caller's alone, so it may be cleaned up by any thread.
        unsafe impl Send for Foreign {}
        impl Foreign {
            fn memory(self) -> NonNull<[u8]> {
                self.0
            }
        }
        let foreign = Foreign(memory);
        let registered = self.memory.on_close(Box::new(move || cleanup(foreign.memory())));
        match registered {
            Ok(()) => Ok(SharedSegment { memory: Arc::clone(&self.memory), range: memory }),
            Err(cleanup) => {
                cleanup();
                Err(ArenaError::Closed)
            }
        }
    }

    /// Keeps the arena open while the result exists: across a call of a native library, say.
    ///
    /// # Errors
    ///
    /// If it was closed.
    pub fn keep_open(&self) -> Result<impl Drop + '_, ArenaError> {
        self.memory.acquire()
    }

    /// An allocator for collections. The arena stays open while it, a clone of it, or a collection with one exists.
    ///
    /// # Errors
    ///
    /// If the arena was closed.
    pub fn allocator(&self) -> Result<SharedArenaAllocator, ArenaError> {
        core::mem::forget(self.memory.acquire()?);
        Ok(SharedArenaAllocator { memory: Arc::clone(&self.memory) })
    }

    /// Runs the actions and frees the memory. Says which actions panicked.
    ///
    /// # Errors
    ///
    /// If a segment is in use, or the arena was closed before: then nothing was done. In the inner result, if actions
    /// panicked: all were called, and the memory is freed.
    pub fn close(&self) -> Result<Result<(), CleanupPanics>, ArenaError> {
        self.memory.close()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.memory.gate.is_closed()
    }

    /// Bytes that were given out, alignment included.
    pub fn used_bytes(&self) -> usize {
        self.memory.used_bytes()
    }
}

/// Bytes of a [`SharedArena`] that belong to this handle alone. To share them for reading, share the handle.
pub struct SharedSegment {
    memory: Arc<Memory>,
    range: NonNull<[u8]>,
}

// SAFETY: bytes are read through shared references to the one handle and written through a mutable one (NB6).
unsafe impl Send for SharedSegment {}
// SAFETY: as above.
unsafe impl Sync for SharedSegment {}

impl SharedSegment {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, to read. The arena is not closed meanwhile.
    ///
    /// # Errors
    ///
    /// If the arena was closed.
    pub fn acquire(&self) -> Result<Acquired<'_>, ArenaError> {
        let open = self.memory.acquire()?;
        // SAFETY: there as long as it is acquired (NB5); the handle is borrowed, so nobody writes (NB6).
        Ok(Acquired { bytes: unsafe { self.range.as_ref() }, _open: open })
    }

    /// The bytes, to write. The arena is not closed meanwhile.
    ///
    /// # Errors
    ///
    /// If the arena was closed.
    pub fn acquire_mut(&mut self) -> Result<AcquiredMut<'_>, ArenaError> {
        let open = self.memory.acquire()?;
        // SAFETY: as above; the handle is borrowed mutably.
        Ok(AcquiredMut { bytes: unsafe { self.range.as_mut() }, _open: open })
    }

    /// Calls `f` with the bytes.
    ///
    /// # Errors
    ///
    /// If the arena was closed.
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, ArenaError> {
        Ok(f(&self.acquire()?))
    }

    /// Two segments: what lies before `middle`, and the rest.
    ///
    /// # Errors
    ///
    /// If `middle` does not lie within.
    pub fn split_at(self, middle: usize) -> Result<(SharedSegment, SharedSegment), OutOfRange> {
        let of = self.len();
        if middle > of {
            return Err(OutOfRange { offset: middle, len: 0, of });
        }
        let base = self.range.cast::<u8>();
        let after = place_behind(base, middle);
        let part = |place, len| SharedSegment {
            memory: Arc::clone(&self.memory),
            range: NonNull::slice_from_raw_parts(place, len),
        };
        Ok((part(base, middle), part(after, of - middle)))
    }
}

impl fmt::Debug for SharedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSegment").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Bytes of a segment in use, to read.
pub struct Acquired<'a> {
    bytes: &'a [u8],
    _open: super::memory::Use<'a>,
}

impl Deref for Acquired<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// Bytes of a segment in use, to write.
pub struct AcquiredMut<'a> {
    bytes: &'a mut [u8],
    _open: super::memory::Use<'a>,
}

impl Deref for AcquiredMut<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for AcquiredMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

impl fmt::Debug for Acquired<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquired").field("len", &self.bytes.len()).finish()
    }
}

impl fmt::Debug for AcquiredMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquiredMut").field("len", &self.bytes.len()).finish()
    }
}

/// The memory of a [`SharedArena`], for collections: see [`SharedArena::allocator`].
pub struct SharedArenaAllocator {
    /// Acquired once for each of these.
    memory: Arc<Memory>,
}

impl Clone for SharedArenaAllocator {
    fn clone(&self) -> Self {
        // It is open, as this one has acquired it; it fails only if there are too many of them.
        let open = self.memory.acquire();
        core::mem::forget(open.expect("not so many users of an arena"));
        SharedArenaAllocator { memory: Arc::clone(&self.memory) }
    }
}

impl Drop for SharedArenaAllocator {
    fn drop(&mut self) {
        self.memory.gate.release();
    }
}

// SAFETY: memory is given out once and stays until the arena is closed, which it is not while the allocator or a clone
// has acquired it (P19).
unsafe impl Allocator for SharedArenaAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let place = self.memory.allocate(layout.size(), layout.align()).map_err(|_| AllocError)?;
        Ok(NonNull::slice_from_raw_parts(place, layout.size()))
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate(layout)
    }

    unsafe fn deallocate(&self, place: NonNull<u8>, layout: Layout) {
        self.memory.shrink_last(place, layout.size());
    }
}

impl fmt::Debug for SharedArenaAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedArenaAllocator").finish_non_exhaustive()
    }
}
