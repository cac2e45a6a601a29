//! Bytes of cells: handed out by the mutator, freed by sweeps, and read by everybody at any time ([`HeapBytes`]).
//!
//! What is allocated is what was handed out less what was freed, and each of the two is a sum with writers of its
//! own. So neither a finish nor a sweep takes anything out of one place to put it into another, and nobody who reads
//! meanwhile finds it in neither. Who counts towards a limit may: what is read is what is allocated, or what was a
//! moment ago, when there was more.
//!
//! Sums go on for as long as the space does, so they may wrap, as differences do not mind.
//!
//! - **P21 (no fewer).** What is read is no less than what is allocated at some moment of the read, as far as the
//!   reader knows of what was handed out. What is live is no less than what is left of the cells that the last
//!   finish found.

use crate::sync::{AtomicUsize, Ordering};

/// The bytes of a space's cells.
#[derive(Debug)]
pub struct HeapBytes {
    /// All that was handed out, less what was taken back unused. Written by whoever holds the space exclusively.
    handed_out: AtomicUsize,
    /// Of that, what the last finish found. Written by it.
    at_finish: AtomicUsize,
    /// All that was freed. Written by sweeps, one at a time: with the mutex of the gate that they hand back by.
    freed: AtomicUsize,
}

impl HeapBytes {
    /// None yet.
    pub fn new() -> HeapBytes {
        HeapBytes {
            handed_out: AtomicUsize::new(0),
            at_finish: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
        }
    }

    /// Cells are handed out. By whoever holds the space exclusively.
    #[inline]
    pub fn hand_out(&self, bytes: usize) {
        // ORDERING: one writer at a time, in the order of the space's lock. Who counts towards a limit has a mutex that
        // the writer has too, if there is one.
        let sum = self.handed_out.load(Ordering::Relaxed).wrapping_add(bytes);
        self.handed_out.store(sum, Ordering::Relaxed);
    }

    /// Cells that were handed out are not used. As [`hand_out`](HeapBytes::hand_out).
    pub fn take_back(&self, bytes: usize) {
        let sum = self.handed_out.load(Ordering::Relaxed).wrapping_sub(bytes);
        self.handed_out.store(sum, Ordering::Relaxed);
    }

    /// A finish: what is handed out from here on is not in its batch. Nothing is freed by it, so nothing else changes.
    pub fn finish(&self) {
        self.at_finish.store(self.handed_out.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Cells were freed: their memory may be used again. By the sweep of a batch that a finish found them in.
    pub fn free(&self, bytes: usize) {
        let sum = self.freed.load(Ordering::Relaxed).wrapping_add(bytes);
        // ORDERING: Release: whoever finds them freed finds that they were handed out, and the finish.
        self.freed.store(sum, Ordering::Release);
    }

    /// Bytes of cells that are in use, or were when the call began.
    #[inline]
    pub fn allocated(&self) -> usize {
        // ORDERING: Acquire pairs with the Release in `free`. The sum that takes away is read first: what is freed
        // meanwhile still counts (P21).
        let freed = self.freed.load(Ordering::Acquire);
        self.handed_out.load(Ordering::Relaxed).wrapping_sub(freed)
    }

    /// Of the bytes that the last finish found, those that are in use: alive, or not swept yet.
    pub fn live(&self) -> usize {
        // ORDERING: as above.
        let freed = self.freed.load(Ordering::Acquire);
        self.at_finish.load(Ordering::Relaxed).wrapping_sub(freed)
    }

    /// Bytes handed out since the last finish: how far the next one is.
    #[inline]
    pub fn since_finish(&self) -> usize {
        let at_finish = self.at_finish.load(Ordering::Relaxed);
        let since = self.handed_out.load(Ordering::Relaxed).wrapping_sub(at_finish);
        // One may be read before a finish and one after it.
        (since as isize).max(0) as usize
    }

    /// All becomes another space's. Both are held exclusively, and nothing is freed meanwhile in either.
    pub fn move_into(&self, target: &HeapBytes) {
        let (allocated, live) = (self.allocated(), self.live());
        target.hand_out(allocated);
        let sum = target.at_finish.load(Ordering::Relaxed).wrapping_add(live);
        target.at_finish.store(sum, Ordering::Relaxed);
        // Not back to none: who has read what was freed reads this next.
        let freed = self.freed.load(Ordering::Relaxed);
        self.handed_out.store(freed, Ordering::Relaxed);
        self.at_finish.store(freed, Ordering::Relaxed);
    }
}

impl Default for HeapBytes {
    fn default() -> Self {
        HeapBytes::new()
    }
}

#[cfg(all(test, not(cspace_loom)))]
mod tests {
    use super::*;

    fn read(bytes: &HeapBytes) -> (usize, usize, usize) {
        (bytes.allocated(), bytes.live(), bytes.since_finish())
    }

    #[test]
    fn a_cycle_keeps_what_is_not_freed() {
        let bytes = HeapBytes::new();
        bytes.hand_out(100);
        bytes.take_back(20);
        assert_eq!(read(&bytes), (80, 0, 80));
        bytes.finish();
        assert_eq!(read(&bytes), (80, 80, 0));
        bytes.hand_out(7);
        bytes.free(30);
        assert_eq!(read(&bytes), (57, 50, 7));
    }

    #[test]
    fn a_move_takes_all_along_and_a_batch_frees_at_the_target() {
        let (source, target) = (HeapBytes::new(), HeapBytes::new());
        for bytes in [&source, &target] {
            bytes.hand_out(100);
            bytes.finish();
            bytes.free(10);
            bytes.hand_out(5);
        }
        source.move_into(&target);
        assert_eq!((read(&source), read(&target)), ((0, 0, 0), (190, 180, 10)));
        target.free(80);
        source.hand_out(1);
        assert_eq!((read(&source), read(&target)), ((1, 0, 1), (110, 100, 10)));
    }

    #[test]
    fn sums_may_wrap() {
        let bytes = HeapBytes::new();
        for round in 1..=5 {
            bytes.hand_out(usize::MAX / 2);
            bytes.finish();
            bytes.free(usize::MAX / 2 - 1);
            assert_eq!(read(&bytes), (round, round, 0));
        }
    }
}
