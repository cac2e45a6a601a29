//! Full collections of safe-gc.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::{Graph, COLLECTION_COUNT, NODE_BYTES};
use crate::measure::{measure, Measured};

/// A reference is two `u32` and has no niche, so this is more than the 32 bytes of the others.
struct Node {
    next: Option<Gc<Node>>,
    other: Option<Gc<Node>>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 8);

impl Trace for Node {
    fn trace(&self, collector: &mut Collector) {
        for target in [self.next, self.other].into_iter().flatten() {
            collector.edge(target);
        }
    }
}

pub(super) fn run(size: u64) -> Measured {
    let graph = Graph::new(size);
    let size = graph.size();
    let mut heap = Heap::new();
    let root = build(&mut heap, graph);
    heap.gc();
    let ((), timing) = measure(COLLECTION_COUNT * size, || {
        for _ in 0..COLLECTION_COUNT {
            heap.gc();
        }
    });
    timing.with_checksum(walk(&heap, root.unrooted()))
}

fn build(heap: &mut Heap, graph: Graph) -> Root<Node> {
    let node = |key| heap.alloc(Node { next: None, other: None, key, _payload: 0 });
    let nodes: Vec<Root<Node>> = (0..graph.size()).map(node).collect();
    for (node, [next, other]) in nodes.iter().zip(graph.edges()) {
        heap[node].next = Some(nodes[next].unrooted());
        heap[node].other = Some(nodes[other].unrooted());
    }
    nodes[0].clone()
}

fn walk(heap: &Heap, root: Gc<Node>) -> u64 {
    let mut sum = 0;
    let mut node = root;
    loop {
        sum += heap[node].key + heap[node].other.map_or(0, |other| heap[other].key);
        match heap[node].next {
            Some(next) if next != root => node = next,
            _ => return sum,
        }
    }
}
