//! What of a space outlives it until its last batch is reclaimed: the heap, its counts, and the way
//! back for swept spans.

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicBool;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::chunk::SpanRef;
use crate::heap::{Counters, Heap, HeapLinks, Returned};
use crate::home::{self, Home};

pub(crate) struct Memory {
    /// Of the holder of the space's exclusive lock; at the end, of whoever destroys the space.
    heap: UnsafeCell<Heap>,
    pub(crate) counters: Counters,
    pub(crate) returned: Returned,
    /// Mappings that a sweep emptied. They are unmapped after the next finish, when no reader of a
    /// weak set can look at their mark bits any more.
    pub(crate) retired_mappings: Mutex<Vec<SpanRef>>,
    pub(crate) poison_freed: bool,
    /// Blocks in `heap` name the home.
    _home: Arc<Home>,
}

// SAFETY: the heap belongs to the holder of the exclusive lock, which orders its uses; the rest is
// shared structures.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory for a space. `want` is raised when a collection is wanted; it is not used once the space
    /// is gone.
    pub(crate) fn new(
        home: &Arc<Home>,
        want: *const AtomicBool,
        heap_bytes_max: usize,
        budget: usize,
        poison_freed: bool,
    ) -> Arc<Memory> {
        Arc::new_cyclic(|this: &std::sync::Weak<Memory>| {
            let memory = this.as_ptr();
            // SAFETY: only the fields' addresses are taken; the allocation is there.
            let (counters, returned) =
                unsafe { (&raw const (*memory).counters, &raw const (*memory).returned) };
            let links =
                HeapLinks { home: home::address(home), counters, returned, want, heap_bytes_max };
            Memory {
                heap: UnsafeCell::new(Heap::new(links)),
                counters: Counters { budget: budget.into(), ..Counters::default() },
                returned: Returned::default(),
                retired_mappings: Mutex::default(),
                poison_freed,
                _home: Arc::clone(home),
            }
        })
    }

    /// The heap. Whoever uses it holds the space exclusively, or is its collector.
    #[inline(always)]
    pub(crate) fn heap(&self) -> *mut Heap {
        self.heap.get()
    }
}
