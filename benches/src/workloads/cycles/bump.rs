//! Rings in one bump arena that keeps all of them.

use std::cell::Cell;

use bumpalo::Bump;

use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};

struct Node<'a> {
    next: Cell<Option<&'a Node<'a>>>,
    key: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _arena), timing) = measure(size * RING_LEN, || {
        let arena = Bump::new();
        let mut sum = 0u64;
        for keys in batches(size).flatten() {
            sum = sum.wrapping_add(walk(ring(&arena, keys)));
        }
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn ring(arena: &Bump, mut keys: std::ops::Range<u64>) -> &Node<'_> {
    let first: &Node = arena.alloc(Node { next: Cell::new(None), key: keys.start });
    keys.next();
    let last = keys.fold(first, |last, key| arena.alloc(Node { next: Some(last).into(), key }));
    first.next.set(Some(last));
    last
}

/// Sums up the keys from one node around to the same one.
fn walk<'a>(start: &'a Node<'a>) -> u64 {
    let mut sum = 0u64;
    let mut node = start;
    loop {
        sum = sum.wrapping_add(node.key);
        match node.next.get() {
            Some(next) if !std::ptr::eq(next, start) => node = next,
            _ => return sum,
        }
    }
}
