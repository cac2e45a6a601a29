//! Quads in safe-gc, which collects when its table of nodes is full, inside of an allocation.
//!
//! What is being built is therefore held by roots, and each root is an entry in another table.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::{Program, GARBAGE_DEPTH, NODE_BYTES, ROUNDS};
use crate::measure::{measure, Measured};

/// A reference is two `u32` and has no niche, so this is more than the 32 bytes of the others.
struct Quad {
    children: Option<[Gc<Quad>; 4]>,
}

const _: () = assert!(size_of::<Quad>() == NODE_BYTES + 4);

impl Trace for Quad {
    fn trace(&self, collector: &mut Collector) {
        for child in self.children.into_iter().flatten() {
            collector.edge(child);
        }
    }
}

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _heap), timing) = measure(program.node_count(), || {
        let mut heap = Heap::new();
        let live = build(&mut heap, program.depth);
        let mut sum = 0;
        for _ in 0..ROUNDS {
            for _ in 0..program.garbage_tree_count() {
                let garbage = build(&mut heap, GARBAGE_DEPTH);
                sum += branch(&heap, garbage.unrooted());
            }
            sum += node_count(&heap, live.unrooted());
        }
        (sum, heap)
    });
    timing.with_checksum(checksum)
}

fn build(heap: &mut Heap, depth: u64) -> Root<Quad> {
    let roots = (depth > 0).then(|| [(); 4].map(|()| build(heap, depth - 1)));
    let children = roots.as_ref().map(|roots| roots.each_ref().map(Root::unrooted));
    heap.alloc(Quad { children })
}

fn branch(heap: &Heap, quad: Gc<Quad>) -> u64 {
    match heap[quad].children {
        None => 1,
        Some([first, ..]) => 1 + branch(heap, first),
    }
}

fn node_count(heap: &Heap, quad: Gc<Quad>) -> u64 {
    let children = heap[quad].children.into_iter().flatten();
    1 + children.map(|child| node_count(heap, child)).sum::<u64>()
}
