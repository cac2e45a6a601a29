//! GCBench in safe-gc, which collects when its table of nodes is full, inside of an allocation.
//!
//! What is being built is held by roots: bottom-up each subtree, top-down the one root of the tree.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::{check, element, Program, ARRAY_LEN, NODE_BYTES};
use crate::measure::{measure, Measured};

/// A reference is two `u32` and has no niche, so this is more than the 24 bytes of the others.
#[derive(Default)]
struct Node {
    left: Option<Gc<Node>>,
    right: Option<Gc<Node>>,
    _payload: [u32; 2],
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 8);

impl Trace for Node {
    fn trace(&self, collector: &mut Collector) {
        for child in [self.left, self.right].into_iter().flatten() {
            collector.edge(child);
        }
    }
}

struct Array(Vec<f64>);

impl Trace for Array {
    fn trace(&self, _: &mut Collector) {}
}

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _heap), timing) = measure(program.node_count(), || {
        let mut heap = Heap::new();
        let mut sum = short_lived(&mut heap, bottom_up, program.stretch_depth());
        let long_lived = top_down(&mut heap, program.depth_max);
        let array = heap.alloc(Array((0..ARRAY_LEN).map(element).collect()));
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += short_lived(&mut heap, top_down, depth);
            }
            for _ in 0..tree_count {
                sum += short_lived(&mut heap, bottom_up, depth);
            }
        }
        sum += node_count(&heap, long_lived.unrooted()) + check(&heap[&array].0);
        (sum, heap)
    });
    timing.with_checksum(checksum)
}

fn short_lived(heap: &mut Heap, build: impl Fn(&mut Heap, u64) -> Root<Node>, depth: u64) -> u64 {
    let tree = build(heap, depth);
    branch(heap, tree.unrooted())
}

fn bottom_up(heap: &mut Heap, depth: u64) -> Root<Node> {
    if depth == 0 {
        return heap.alloc(Node::default());
    }
    let (left, right) = (bottom_up(heap, depth - 1), bottom_up(heap, depth - 1));
    heap.alloc(Node { left: Some((&left).into()), right: Some((&right).into()), ..Node::default() })
}

fn top_down(heap: &mut Heap, depth: u64) -> Root<Node> {
    let root = heap.alloc(Node::default());
    populate(heap, root.unrooted(), depth);
    root
}

/// Builds below a node that a root reaches.
fn populate(heap: &mut Heap, parent: Gc<Node>, depth: u64) {
    if depth > 0 {
        let left = heap.alloc(Node::default()).unrooted();
        heap[parent].left = Some(left);
        let right = heap.alloc(Node::default()).unrooted();
        heap[parent].right = Some(right);
        populate(heap, left, depth - 1);
        populate(heap, right, depth - 1);
    }
}

fn branch(heap: &Heap, node: Gc<Node>) -> u64 {
    std::iter::successors(Some(node), |&node| heap[node].left).count() as u64
}

fn node_count(heap: &Heap, node: Gc<Node>) -> u64 {
    let children = [heap[node].left, heap[node].right];
    1 + children.into_iter().flatten().map(|child| node_count(heap, child)).sum::<u64>()
}
