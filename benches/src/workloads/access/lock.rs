//! The bare locks of parking_lot around a counter.

use std::hint::black_box;

use parking_lot::{Mutex, RwLock};

use crate::measure::{measure, Measured};

pub(super) fn mutex(size: u64) -> Measured {
    let lock = Mutex::new(0);
    let ((), timing) = measure(size, || {
        for _ in 0..size {
            *black_box(&lock).lock() += 1;
        }
    });
    timing.with_checksum(lock.into_inner())
}

pub(super) fn write(size: u64) -> Measured {
    let lock = RwLock::new(0);
    let ((), timing) = measure(size, || {
        for _ in 0..size {
            *black_box(&lock).write() += 1;
        }
    });
    timing.with_checksum(lock.into_inner())
}

pub(super) fn read(size: u64) -> Measured {
    let lock = RwLock::new(1);
    let (sum, timing) = measure(size, || {
        let mut sum = 0;
        for _ in 0..size {
            sum += *black_box(&lock).read();
        }
        sum
    });
    timing.with_checksum(sum)
}
