//! Garbage in `Rc`: freed as soon as it was read.

use std::rc::Rc;

use super::{batches, payload, read};
use crate::measure::{measure, Measured};

pub(super) fn run<const WORDS: usize>(size: u64) -> Measured {
    let (checksum, timing) = measure(size, || {
        let mut sum = 0u64;
        for batch in batches(size) {
            for number in batch {
                sum = sum.wrapping_add(read(&Rc::new(payload::<WORDS>(number))));
            }
        }
        sum
    });
    timing.with_checksum(checksum)
}
