//! An allocator that keeps the blocks of ended operations for the next ones.
//!
//! Each thread has a few slots for each [`Purpose`]. A block is cached by the thread that frees it, whoever allocated
//! it, so nothing is shared and nothing locked.
//!
//! - **NR1 (class).** A block of at most [`CACHED_MAX`] bytes is allocated as large as its size class. The class follows
//!   from any layout that fits the block, so what frees it knows how large it is.
//! - **NR2 (idle).** A block in a slot is nobody's: it was freed by its user.
//! - **NR3 (whole).** What frees a block may have a pointer to the bytes of its layout alone, as a box of them has: less
//!   than the block, which is as large as its class. So the provenance of a block that may be kept is exposed when it is
//!   allocated, slots keep addresses, and who takes or frees the block has the pointer that the system gave.

use core::alloc::Layout;
use core::cell::RefCell;
use core::fmt;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use crate::source;

/// The largest block in bytes that is kept.
const CACHED_MAX: usize = 1024;
/// The alignment of blocks that are kept; what needs more is not.
const CACHED_ALIGN: usize = 16;
/// Slots that a purpose can have on a thread.
const SLOTS_MAX: usize = 16;
/// Slots that a purpose has on a thread to begin with.
const SLOTS: usize = 2;

/// What memory is for: purposes do not take each other's slots.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Purpose {
    /// Operations.
    #[default]
    Operation,
    /// Frames of futures and coroutines.
    CoroutineFrame,
    /// Functions on their way to an executor.
    ExecutorFunction,
    /// Signals that cancel an operation.
    CancellationSignal,
    /// Operations that wait for several others.
    ParallelGroup,
    /// Timers that cancel an operation.
    TimedCancel,
}

impl Purpose {
    /// All there are.
    pub const ALL: [Purpose; 6] = [
        Purpose::Operation,
        Purpose::CoroutineFrame,
        Purpose::ExecutorFunction,
        Purpose::CancellationSignal,
        Purpose::ParallelGroup,
        Purpose::TimedCancel,
    ];
}

/// An allocator that keeps blocks of ended operations, on each thread, for the next ones.
///
/// For what is allocated again and again with the same size and lives shortly: the memory of asynchronous operations,
/// boxed futures. In the steady state it asks the system for nothing. A thread keeps two blocks of each [`Purpose`], of
/// at most 1 KiB; larger ones, and such as need an alignment of more than 16, are not kept. If the slots are full of
/// other sizes than what is asked for or freed, one of them is given up, so that a thread comes to keep what is in use.
///
/// Blocks may be freed on other threads than they came from, and are kept there. When a thread ends, what it keeps is
/// freed; what is freed at the very end of a thread is not kept.
///
/// ```
/// use allocator_api2::boxed::Box;
/// use cspace_native::{Purpose, RecyclingAllocator};
///
/// let allocator = RecyclingAllocator::new(Purpose::Operation);
/// let first = Box::new_in([0u8; 100], allocator);
/// let address = first.as_ptr();
/// drop(first);
/// assert_eq!(Box::new_in([1u8; 120], allocator).as_ptr(), address);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecyclingAllocator {
    purpose: Purpose,
}

impl RecyclingAllocator {
    /// One for a purpose.
    pub const fn new(purpose: Purpose) -> RecyclingAllocator {
        RecyclingAllocator { purpose }
    }

    /// What it is for.
    pub const fn purpose(self) -> Purpose {
        self.purpose
    }

    /// How many blocks this thread keeps for the purpose.
    pub fn cached_blocks(self) -> usize {
        let count = |cache: &Cache| cache.kept[self.purpose as usize].count;
        CACHE.try_with(|cache| count(&cache.borrow())).unwrap_or(0)
    }

    /// Sets how many blocks this thread keeps of each purpose, at most 16; gives up those that are more.
    pub fn set_slots_of_thread(count: usize) {
        // At the end of the thread nothing is kept any more.
        let _ = CACHE.try_with(|cache| cache.borrow_mut().set_slots(count.min(SLOTS_MAX)));
    }

    /// Gives up all blocks that this thread keeps.
    pub fn clear_thread() {
        let _ = CACHE.try_with(|cache| cache.borrow_mut().clear());
    }
}

/// How large a block of a layout is allocated (NR1); none if it is not to be kept.
fn class_bytes(layout: Layout) -> Option<usize> {
    let is_small = layout.size() <= CACHED_MAX && layout.align() <= CACHED_ALIGN;
    is_small.then(|| layout.size().next_power_of_two().max(CACHED_ALIGN))
}

fn class_layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, CACHED_ALIGN).expect("small, and a power of two")
}

// SAFETY: a block belongs to whom it was given until that one frees it; only then is it kept, and given to the next
// (NR2). It is at least as large and as aligned as asked for (NR1). All values of the type are equal.
unsafe impl Allocator for RecyclingAllocator {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            let dangling = core::ptr::without_provenance_mut(layout.align());
            // SAFETY: an alignment is not zero.
            let dangling = unsafe { NonNull::new_unchecked(dangling) };
            return Ok(NonNull::slice_from_raw_parts(dangling, 0));
        }
        let Some(bytes) = class_bytes(layout) else {
            let block = source::allocate(layout).map_err(|_| AllocError)?;
            return Ok(NonNull::slice_from_raw_parts(block, layout.size()));
        };
        let take = |cache: &RefCell<Cache>| cache.borrow_mut().take(self.purpose, bytes);
        let block = match CACHE.try_with(take).ok().flatten() {
            Some(block) => block,
            None => {
                let block = source::allocate(class_layout(bytes)).map_err(|_| AllocError)?;
                // From here on `whole` finds it (NR3).
                block.as_ptr().expose_provenance();
                block
            }
        };
        Ok(NonNull::slice_from_raw_parts(block, bytes))
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        let Some(bytes) = class_bytes(layout) else {
            // SAFETY: it came from there with a layout that this one fits: as it is not kept, the very same.
            unsafe { source::free(block, layout) };
            return;
        };
        let block = block.addr();
        let keep = |cache: &RefCell<Cache>| cache.borrow_mut().keep(self.purpose, block, bytes);
        if CACHE.try_with(keep) != Ok(true) {
            // SAFETY: allocated as large as its class (NR1), and not kept: nobody's from here on.
            unsafe { free_whole(block, bytes) };
        }
    }
}

/// The block at an address, with the provenance of all of it.
///
/// # Safety
///
/// There is a block of a class (NR1), and it is nobody's (NR2).
unsafe fn whole(block: NonZeroUsize) -> NonNull<u8> {
    let block = core::ptr::with_exposed_provenance_mut(block.get());
    // SAFETY: the address is not zero. Of what was exposed, the block that is there has its own pointer (NR3).
    unsafe { NonNull::new_unchecked(block) }
}

/// Frees a block.
///
/// # Safety
///
/// There is a block of so many bytes, which are those of its class (NR1), and it is nobody's (NR2).
unsafe fn free_whole(block: NonZeroUsize, bytes: usize) {
    // SAFETY: the caller's promise; the layout is the one that it was allocated with.
    unsafe { source::free(whole(block), class_layout(bytes)) };
}

thread_local! {
    static CACHE: RefCell<Cache> = const { RefCell::new(Cache::new()) };
}

/// What a thread keeps.
struct Cache {
    kept: [Kept; Purpose::ALL.len()],
    slots: usize,
}

/// What a thread keeps of a purpose: the first `count` slots, the oldest first.
#[derive(Clone, Copy)]
struct Kept {
    slots: [Slot; SLOTS_MAX],
    count: usize,
}

/// The address of a block, and its bytes, which are those of its class.
type Slot = (NonZeroUsize, usize);

impl Cache {
    const fn new() -> Cache {
        let none = Kept { slots: [(NonZeroUsize::MIN, 0); SLOTS_MAX], count: 0 };
        Cache { kept: [none; Purpose::ALL.len()], slots: SLOTS }
    }

    /// A block of so many bytes, the one that was kept last. If there is none, and no slot for one, gives up the
    /// oldest, so that what comes now has a slot later.
    fn take(&mut self, purpose: Purpose, bytes: usize) -> Option<NonNull<u8>> {
        let kept = &mut self.kept[purpose as usize];
        for at in (0..kept.count).rev() {
            if kept.slots[at].1 == bytes {
                let (block, _) = kept.remove(at);
                // SAFETY: it was in a slot (NR2).
                return Some(unsafe { whole(block) });
            }
        }
        if kept.count > 0 && kept.count >= self.slots {
            let oldest = kept.remove(0);
            free_kept(oldest);
        }
        None
    }

    /// Keeps a block that its user freed (NR2); whether there was a slot. If all have blocks, the oldest of another
    /// class makes room: what is freed now is of a size in use. Without that, a block that nobody asks for would hold
    /// its slot for good where several blocks are in use at a time, as the slots are not full whenever one is missing.
    fn keep(&mut self, purpose: Purpose, block: NonZeroUsize, bytes: usize) -> bool {
        let kept = &mut self.kept[purpose as usize];
        if kept.count >= self.slots {
            let blocks = &kept.slots[..kept.count];
            let Some(other) = blocks.iter().position(|(_, of)| *of != bytes) else { return false };
            free_kept(kept.remove(other));
        }
        kept.slots[kept.count] = (block, bytes);
        kept.count += 1;
        true
    }

    fn set_slots(&mut self, slots: usize) {
        self.slots = slots;
        for kept in &mut self.kept {
            while kept.count > slots {
                free_kept(kept.remove(0));
            }
        }
    }

    fn clear(&mut self) {
        for kept in &mut self.kept {
            while kept.count > 0 {
                free_kept(kept.remove(kept.count - 1));
            }
        }
    }
}

impl Kept {
    fn remove(&mut self, at: usize) -> Slot {
        let removed = self.slots[at];
        self.slots.copy_within(at + 1..self.count, at);
        self.count -= 1;
        removed
    }
}

/// Frees a block that was in a slot.
fn free_kept((block, bytes): Slot) {
    // SAFETY: a block of a slot has the bytes of its class (NR1) and is nobody's (NR2).
    unsafe { free_whole(block, bytes) };
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("slots", &self.slots).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_that_fits_a_block_has_its_class() {
        for size in 1..=CACHED_MAX {
            let layout = Layout::from_size_align(size, 8).unwrap();
            let bytes = class_bytes(layout).unwrap();
            assert!(bytes >= size && bytes <= CACHED_MAX.max(16));
            for fitting in [size, (size + bytes) / 2, bytes] {
                let layout = Layout::from_size_align(fitting, 8).unwrap();
                assert_eq!(class_bytes(layout), Some(bytes), "{size} {fitting}");
            }
        }
        assert_eq!(class_bytes(Layout::from_size_align(CACHED_MAX + 1, 8).unwrap()), None);
        assert_eq!(class_bytes(Layout::from_size_align(8, 32).unwrap()), None);
    }

    /// For Miri: a block is freed, and given out again, by way of a pointer that has its layout's bytes alone.
    #[test]
    fn a_block_is_whole_again_whatever_its_user_knew_of_it() {
        let allocator = RecyclingAllocator::new(Purpose::TimedCancel);
        let layout = |bytes| Layout::from_size_align(bytes, 1).unwrap();
        let write = |bytes: usize| {
            let block = allocator.allocate(layout(bytes)).unwrap();
            // SAFETY: so many bytes were just allocated.
            unsafe { block.cast::<u8>().as_ptr().write_bytes(7, bytes) };
            // SAFETY: as above, and written.
            NonNull::from(unsafe {
                core::slice::from_raw_parts_mut(block.cast::<u8>().as_ptr(), bytes)
            })
        };
        // SAFETY: what was written is freed, with the layout that it was allocated with.
        let free = |narrow: NonNull<[u8]>| unsafe {
            allocator.deallocate(narrow.cast(), layout(narrow.len()))
        };
        RecyclingAllocator::clear_thread();
        let first = write(100);
        free(first);
        let again = write(128);
        assert_eq!(again.cast::<u8>().addr(), first.cast::<u8>().addr());
        // More than there are slots: some are freed at once, the others when the thread's are cleared.
        let others = [65, 70, 128].map(write);
        others.into_iter().chain([again]).for_each(free);
        RecyclingAllocator::clear_thread();
        assert_eq!(allocator.cached_blocks(), 0);
    }
}
