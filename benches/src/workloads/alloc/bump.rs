//! Garbage in a bump arena that never frees any of it.

use bumpalo::Bump;

use super::{batches, payload, read};
use crate::measure::{measure, Measured};

pub(super) fn run<const WORDS: usize>(size: u64) -> Measured {
    let ((checksum, _arena), timing) = measure(size, || {
        let arena = Bump::new();
        let mut sum = 0u64;
        for batch in batches(size) {
            for number in batch {
                sum = sum.wrapping_add(read(arena.alloc(payload::<WORDS>(number))));
            }
        }
        (sum, arena)
    });
    timing.with_checksum(checksum)
}
