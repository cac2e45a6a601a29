//! A word whose bits belong to several writers, each of whom knows its own.
//!
//! Mark and allocation bits of a page that spaces share (H5): every bit has one writer at a time, which nobody else's write
//! may take back. So a write changes the writer's bits in one atomic step, and leaves the others as they are at that moment.
//! Who comes to own a bit does so by a lock, which orders what was written before: nothing here has to.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Sets bits of the caller's.
#[inline(always)]
pub(crate) fn set(word: &AtomicU64, bits: u64) {
    word.fetch_or(bits, Relaxed);
}

/// Makes the caller's bits, which are `from`, those of `to`.
#[inline]
pub(crate) fn replace(word: &AtomicU64, from: u64, to: u64) {
    word.fetch_xor(from ^ to, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::{replace, set};
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::Barrier;

    /// Each thread finds its own bits as it wrote them, whatever the others do meanwhile.
    #[test]
    fn nobody_takes_back_what_another_has_written() {
        const THREADS: usize = 4;
        const ROUNDS: u64 = if cfg!(miri) { 50 } else { 2_000_000 };
        let (word, begin) = (AtomicU64::new(0), Barrier::new(THREADS));
        std::thread::scope(|threads| {
            for thread in 0..THREADS {
                let (word, begin) = (&word, &begin);
                threads.spawn(move || {
                    let own = |bits: u64| (bits & 0xFFFF) << (thread * 16);
                    let mut expected = 0;
                    begin.wait();
                    for round in 1..=ROUNDS {
                        let one = own(1 << (round % 16));
                        set(word, one);
                        expected |= one;
                        assert_eq!(word.load(Relaxed) & own(0xFFFF), expected);
                        let next = own(round);
                        replace(word, expected, next);
                        expected = next;
                        assert_eq!(word.load(Relaxed) & own(0xFFFF), expected);
                    }
                });
            }
        });
    }
}
