//! Rings in safe-gc, which collects when its table of nodes is full, inside of an allocation.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};

/// A reference is two `u32` and has no niche, so this is more than the 16 bytes of the others.
struct Node {
    next: Option<Gc<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 8);

impl Trace for Node {
    fn trace(&self, collector: &mut Collector) {
        if let Some(next) = self.next {
            collector.edge(next);
        }
    }
}

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _heap), timing) = measure(size * RING_LEN, || {
        let mut heap = Heap::new();
        let mut sum = 0u64;
        for keys in batches(size).flatten() {
            let ring = ring(&mut heap, keys);
            sum = sum.wrapping_add(walk(&heap, ring.unrooted()));
        }
        (sum, heap)
    });
    timing.with_checksum(checksum)
}

/// Makes a ring. The root of the last node holds all others until the ring is closed.
fn ring(heap: &mut Heap, mut keys: std::ops::Range<u64>) -> Root<Node> {
    let first = heap.alloc(Node { next: None, key: keys.start });
    keys.next();
    let last =
        keys.fold(first.clone(), |last, key| heap.alloc(Node { next: Some(last.unrooted()), key }));
    heap[&first].next = Some(last.unrooted());
    last
}

/// Sums up the keys from one node around to the same one.
fn walk(heap: &Heap, start: Gc<Node>) -> u64 {
    let mut sum = 0u64;
    let mut node = start;
    loop {
        sum = sum.wrapping_add(heap[node].key);
        match heap[node].next {
            Some(next) if next != start => node = next,
            _ => return sum,
        }
    }
}
