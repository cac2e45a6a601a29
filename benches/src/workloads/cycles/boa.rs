//! Rings in boa_gc, which collects when it likes, inside of an allocation.

use std::cell::OnceCell;

use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};
use boa_gc::{Finalize, Gc, Trace};

#[derive(Finalize, Trace)]
struct Node {
    next: OnceCell<Gc<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size * RING_LEN, || {
        let mut sum = 0u64;
        for keys in batches(size).flatten() {
            sum = sum.wrapping_add(walk(&ring(keys)));
        }
        sum
    });
    timing.with_checksum(checksum)
}

fn ring(mut keys: std::ops::Range<u64>) -> Gc<Node> {
    let first = Gc::new(Node { next: OnceCell::new(), key: keys.start });
    keys.next();
    let last = keys.fold(first.clone(), |last, key| Gc::new(Node { next: last.into(), key }));
    assert!(first.next.set(last.clone()).is_ok());
    last
}

/// Sums up the keys from one node around to the same one.
fn walk(start: &Gc<Node>) -> u64 {
    let mut sum = 0u64;
    let mut node = start;
    loop {
        sum = sum.wrapping_add(node.key);
        match node.next.get() {
            Some(next) if !Gc::ptr_eq(next, start) => node = next,
            _ => return sum,
        }
    }
}
