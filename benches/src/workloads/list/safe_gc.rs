//! A list in safe-gc, which collects when its table of elements is full, inside of an allocation, and
//! once more at the end.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::NODE_BYTES;
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
    let ((checksum, _heap), timing) = measure(size, || {
        let mut heap = Heap::new();
        let mut list: Option<Root<Node>> = None;
        for key in 0..size {
            list = Some(heap.alloc(Node { next: list.as_ref().map(Root::unrooted), key }));
        }
        let sum = walk(&heap, list.as_ref().map(Root::unrooted));
        drop(list);
        heap.gc();
        (sum, heap)
    });
    timing.with_checksum(checksum)
}

fn walk(heap: &Heap, list: Option<Gc<Node>>) -> u64 {
    std::iter::successors(list, |&node| heap[node].next).map(|node| heap[node].key).sum()
}
