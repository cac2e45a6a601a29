//! Binary trees in safe-gc, which collects when its table of nodes is full, inside of an allocation.
//!
//! What is being built is therefore held by roots, and each root is an entry in another table.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::{Program, NODE_BYTES};
use crate::measure::{measure, Measured};

/// A reference is two `u32` and has no niche, so this is more than the 16 bytes of the others.
struct Tree {
    children: Option<[Gc<Tree>; 2]>,
}

const _: () = assert!(size_of::<Tree>() == NODE_BYTES + 4);

impl Trace for Tree {
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
        let mut sum = short_lived(&mut heap, program.stretch_depth());
        let long_lived = build(&mut heap, program.depth_max);
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += short_lived(&mut heap, depth);
            }
        }
        sum += node_count(&heap, long_lived.unrooted());
        (sum, heap)
    });
    timing.with_checksum(checksum)
}

fn short_lived(heap: &mut Heap, depth: u64) -> u64 {
    let tree = build(heap, depth);
    node_count(heap, tree.unrooted())
}

fn build(heap: &mut Heap, depth: u64) -> Root<Tree> {
    let roots = (depth > 0).then(|| [build(heap, depth - 1), build(heap, depth - 1)]);
    let children = roots.as_ref().map(|roots| roots.each_ref().map(Root::unrooted));
    heap.alloc(Tree { children })
}

fn node_count(heap: &Heap, tree: Gc<Tree>) -> u64 {
    match heap[tree].children {
        None => 1,
        Some([left, right]) => 1 + node_count(heap, left) + node_count(heap, right),
    }
}
