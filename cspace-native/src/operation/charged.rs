//! An allocator whose memory is charged to a ledger.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::Arc;

use allocator_api2::alloc::{AllocError, Allocator};
use cspace_core::{Category, Charge, Ledger, MemoryFull};
use parking_lot::Mutex;

/// An allocator whose memory is charged to a [`Ledger`] while it is in use. An allocation that would pass a limit fails.
///
/// One charge stands for all of its memory, and grows and shrinks: that costs four uncontended mutexes for an allocation,
/// two to free it, and asks for no memory. What another allocator inside keeps for later is not charged, nor is what it
/// refuses.
///
/// ```
/// use allocator_api2::vec::Vec;
/// use cspace_core::{Category, Ledger};
/// use cspace_native::{Charged, RecyclingAllocator};
///
/// let ledger = Ledger::default();
/// let allocator = Charged::new(&ledger, Category::Operations, RecyclingAllocator::default())?;
/// let bytes: Vec<u8, _> = Vec::with_capacity_in(100, allocator);
/// assert_eq!(ledger.account(Category::Operations).bytes, 100);
/// drop(bytes);
/// assert_eq!(ledger.bytes(), 0);
/// # Ok::<(), cspace_core::MemoryFull>(())
/// ```
#[derive(Clone, Debug)]
pub struct Charged<A> {
    inner: A,
    charge: Arc<Mutex<Charge>>,
}

impl<A> Charged<A> {
    /// Memory of `inner`, charged to a category.
    ///
    /// # Errors
    ///
    /// If the ledger is full already.
    pub fn new(ledger: &Ledger, category: Category, inner: A) -> Result<Charged<A>, MemoryFull> {
        let charge = Arc::new(Mutex::new(ledger.try_charge(category, 0)?));
        Ok(Charged { inner, charge })
    }

    /// The bytes in use.
    pub fn bytes(&self) -> usize {
        self.charge.lock().bytes()
    }
}

// SAFETY: all memory is the inner allocator's; clones share the inner one's clones.
unsafe impl<A: Allocator> Allocator for Charged<A> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // The charge is not held while the inner allocator runs, which may be anybody's.
        let pending = self.charge.lock().try_begin_grow(layout.size()).map_err(|_| AllocError)?;
        let block = self.inner.allocate(layout)?;
        self.charge.lock().add(pending);
        // What was asked for is charged, and is what will be freed: no more of the block is shown.
        Ok(NonNull::slice_from_raw_parts(block.cast(), layout.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        /// Gives the bytes back, also if the inner allocator panics.
        struct Back<'a>(&'a Mutex<Charge>, usize);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.lock().shrink(self.1);
            }
        }
        let _back = Back(&self.charge, layout.size());
        // SAFETY: the caller's promise; the layout fits the block of the inner allocator as it did ours.
        unsafe { self.inner.deallocate(block, layout) };
    }
}
