//! What of a space outlives it until its last batch is reclaimed: the heap and its counts.

use core::cell::UnsafeCell;
use std::sync::Arc;

use crate::heap::{Counters, Heap, HeapLinks};
use crate::home::Home;
use crate::requests::Requests;

pub(crate) struct Memory {
    /// Of the holder of the space's exclusive lock; at the end, of whoever destroys the space.
    heap: UnsafeCell<Heap>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) poison_freed: bool,
}

// SAFETY: the heap belongs to the holder of the exclusive lock, which orders its uses; the rest is
// shared structures.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory for a space. `requests` are told when a collection is wanted; they are not used once the
    /// space is gone.
    pub(crate) fn new(
        home: &Home,
        counters: Arc<Counters>,
        requests: *const Requests,
        heap_bytes_max: usize,
        poison_freed: bool,
    ) -> Arc<Memory> {
        let links = HeapLinks {
            gate: Arc::clone(&home.gate),
            ledger: home.ledger.clone(),
            counters: Arc::clone(&counters),
            requests,
            heap_bytes_max,
        };
        Arc::new(Memory { heap: UnsafeCell::new(Heap::new(links)), counters, poison_freed })
    }

    /// The heap. Whoever uses it holds the space exclusively, or is its collector.
    #[inline(always)]
    pub(crate) fn heap(&self) -> *mut Heap {
        self.heap.get()
    }
}
