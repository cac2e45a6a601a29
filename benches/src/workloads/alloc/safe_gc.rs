//! Garbage in safe-gc, which collects when its table of objects is full, inside of an allocation.

use safe_gc::{Collector, Heap, Trace};

use super::{batches, payload, read};
use crate::measure::{measure, Measured};

struct Garbage<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Trace for Garbage<WORDS> {
    fn trace(&self, _: &mut Collector) {}
}

pub(super) fn run<const WORDS: usize>(size: u64) -> Measured {
    let ((checksum, _heap), timing) = measure(size, || {
        let mut heap = Heap::new();
        let mut sum = 0u64;
        for batch in batches(size) {
            for number in batch {
                let garbage = heap.alloc(Garbage(payload::<WORDS>(number)));
                sum = sum.wrapping_add(read(&heap[&garbage].0));
            }
        }
        (sum, heap)
    });
    timing.with_checksum(checksum)
}
