//! The same operations on ordinary memory.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::measure::{measure, Measured};

struct Node<'a> {
    edge: Cell<Option<&'a u64>>,
}

pub(super) fn poll(size: u64) -> Measured {
    let wanted = AtomicBool::new(false);
    let (count, timing) = measure(size, || {
        let mut count = 0;
        for _ in 0..size {
            // ORDERING: Relaxed, because nothing is read on the strength of the flag.
            count += u64::from(!black_box(&wanted).load(Ordering::Relaxed));
        }
        count
    });
    timing.with_checksum(count)
}

pub(super) fn root_get(size: u64) -> Measured {
    let root = Box::new(1);
    let (sum, timing) = measure(size, || {
        let mut sum = 0;
        for _ in 0..size {
            sum += *black_box::<&u64>(black_box(&root));
        }
        sum
    });
    timing.with_checksum(sum)
}

pub(super) fn cell_get(size: u64) -> Measured {
    let target = 1;
    let node = Node { edge: Cell::new(Some(&target)) };
    let (count, timing) = measure(size, || {
        let mut count = 0;
        for _ in 0..size {
            count += u64::from(black_box(&node).edge.get().is_some());
        }
        count
    });
    timing.with_checksum(count)
}

pub(super) fn cell_set(size: u64) -> Measured {
    let targets = [1, 1];
    let node = Node { edge: Cell::new(None) };
    let (count, timing) = measure(size, || {
        let mut count = 0;
        for turn in 0..size {
            black_box(&node).edge.set(Some(&targets[turn as usize & 1]));
            count += 1;
        }
        count
    });
    assert!(node.edge.get().is_some());
    timing.with_checksum(count)
}
