//! Arenas of one thread.
//!
//! - **NB4 (apart).** Segments of an arena do not overlap (NZ1), and borrow the arena, whose memory stays until it is
//!   closed, which takes it by value.

use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::alloc::Layout;

use allocator_api2::alloc::{AllocError, Allocator};
use cspace_core::{Category, Ledger, MemoryFull};

use super::actions;
use super::error::{layout, ArenaError};
use super::segment::SegmentMut;
use crate::bump::Bump;
use crate::cleanup::CleanupPanics;

type Action = Box<dyn FnOnce()>;

/// An arena that one thread uses and closes (the JDK's `Arena.ofConfined`).
///
/// Segments borrow it, so none is used after the close: that does not compile. Neither does use by another thread.
/// Memory is zero, and is all freed at once. `&ConfinedArena` is an [`Allocator`] for collections.
///
/// ```
/// use cspace_core::Ledger;
/// use cspace_native::{ByteOrder, ConfinedArena};
///
/// let arena = ConfinedArena::new(&Ledger::default())?;
/// let mut header = arena.allocate(16, 8)?;
/// header.set(4, 0xcafe_u16, ByteOrder::Big)?;
/// assert_eq!(header.slice(4..6)?.as_slice(), [0xca, 0xfe]);
/// let mut list = allocator_api2::vec::Vec::new_in(&arena);
/// list.extend([1, 2, 3]);
/// drop(list);
/// arena.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ConfinedArena {
    /// Dropped after the actions.
    bump: RefCell<Bump>,
    actions: RefCell<Vec<Action>>,
    of_one_thread: PhantomData<*mut ()>,
}

impl ConfinedArena {
    /// An empty arena whose memory is charged to a ledger.
    ///
    /// # Errors
    ///
    /// If the ledger is full.
    pub fn new(ledger: &Ledger) -> Result<ConfinedArena, MemoryFull> {
        ConfinedArena::with_limit(ledger, usize::MAX)
    }

    /// As [`new`](ConfinedArena::new); of more than `limit` bytes, alignment included, it gives none.
    ///
    /// # Errors
    ///
    /// As [`new`](ConfinedArena::new).
    pub fn with_limit(ledger: &Ledger, limit: usize) -> Result<ConfinedArena, MemoryFull> {
        let bump = Bump::new(ledger.try_charge(Category::Arenas, 0)?, limit);
        Ok(ConfinedArena {
            bump: RefCell::new(bump),
            actions: RefCell::default(),
            of_one_thread: PhantomData,
        })
    }

    /// So many bytes of zero, aligned.
    ///
    /// # Errors
    ///
    /// If the alignment is no power of two, or there is no memory.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<SegmentMut<'_>, ArenaError> {
        let place = self.bump.borrow_mut().allocate(layout(bytes, align)?)?;
        // SAFETY: zeroed, and nobody else's until the arena ends (NB4), which it does not while it is borrowed.
        Ok(SegmentMut::new(unsafe { core::slice::from_raw_parts_mut(place.as_ptr(), bytes) }))
    }

    /// A copy of bytes.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn allocate_from(&self, bytes: &[u8]) -> Result<SegmentMut<'_>, ArenaError> {
        let mut segment = self.allocate(bytes.len(), 1)?;
        segment.copy_from_slice(bytes);
        Ok(segment)
    }

    /// Has `action` called when the arena is closed or dropped, before its memory is freed; what was registered last
    /// comes first.
    pub fn on_close(&self, action: impl FnOnce() + 'static) {
        self.actions.borrow_mut().push(Box::new(action));
    }

    /// Foreign memory as a segment of this arena. `cleanup` gets it when the arena is closed.
    ///
    /// # Safety
    ///
    /// The memory is initialised and the caller's alone, and stays so until the arena is closed.
    pub unsafe fn reinterpret(
        &self,
        memory: NonNull<[u8]>,
        cleanup: impl FnOnce(NonNull<[u8]>) + 'static,
    ) -> SegmentMut<'_> {
        self.on_close(move || cleanup(memory));
        // SAFETY: the caller's promise.
        SegmentMut::new(unsafe { &mut *memory.as_ptr() })
    }

    /// Bytes that were given out, alignment included.
    pub fn used_bytes(&self) -> usize {
        self.bump.borrow().used()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.bump.borrow().bytes()
    }

    /// Runs the actions and frees the memory, and says which actions panicked. A drop does the same and goes on with
    /// the first panic.
    ///
    /// # Errors
    ///
    /// If actions panicked. All were called, and the memory is freed.
    pub fn close(self) -> Result<(), CleanupPanics> {
        self.run_actions()
    }

    fn run_actions(&self) -> Result<(), CleanupPanics> {
        actions::run(self.actions.take())
    }
}

impl Drop for ConfinedArena {
    fn drop(&mut self) {
        actions::run_in_drop(self.actions.take());
    }
}

// SAFETY: memory is given out once and stays until the arena ends, which is borrowed.
unsafe impl Allocator for &ConfinedArena {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let place = self.bump.borrow_mut().allocate(layout).map_err(|_| AllocError)?;
        Ok(NonNull::slice_from_raw_parts(place, layout.size()))
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Allocator::allocate(self, layout)
    }

    unsafe fn deallocate(&self, place: NonNull<u8>, layout: Layout) {
        // What was given out last is given out again.
        self.bump.borrow_mut().shrink_last(place, layout.size(), 0);
    }
}

impl fmt::Debug for ConfinedArena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfinedArena").field("used_bytes", &self.used_bytes()).finish()
    }
}
