//! Churn in safe-gc, which collects when its table of objects is full, inside of an allocation; the
//! workload's table is an object.

use safe_gc::{Collector, Gc, Heap, Root, Trace};

use super::{fill, replace, Step, NODE_BYTES};
use crate::measure::{measure, Measured};

/// A reference is two `u32` and has no niche, so this is more than the 32 bytes of the others.
struct Node {
    edges: Option<[Gc<Node>; 2]>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 8);

impl Trace for Node {
    fn trace(&self, collector: &mut Collector) {
        for target in self.edges.into_iter().flatten() {
            collector.edge(target);
        }
    }
}

struct Table(Vec<Gc<Node>>);

impl Trace for Table {
    fn trace(&self, collector: &mut Collector) {
        self.0.iter().for_each(|&node| collector.edge(node));
    }
}

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _heap), timing) = measure(replace(size).len() as u64, || {
        let mut heap = Heap::new();
        let table = heap.alloc(Table(Vec::new()));
        for step in fill(size) {
            let new = node(&mut heap, &table, step);
            heap[&table].0.push(new);
        }
        for step in replace(size) {
            let new = node(&mut heap, &table, step);
            let old = std::mem::replace(&mut heap[&table].0[step.entry], new);
            heap[old].edges = None;
        }
        (sum(&heap, &table), heap)
    });
    timing.with_checksum(checksum)
}

/// Makes a node that nothing holds yet, to be stored before the next allocation. It is made without
/// edges, and gets them then: while it is allocated, nobody would trace them.
fn node(heap: &mut Heap, table: &Root<Table>, step: Step) -> Gc<Node> {
    let node = heap.alloc(Node { edges: None, key: step.key, _payload: 0 }).unrooted();
    let edges = step.targets.map(|targets| targets.map(|target| heap[table].0[target]));
    heap[node].edges = edges;
    node
}

fn sum(heap: &Heap, table: &Root<Table>) -> u64 {
    let nodes = heap[table].0.iter().map(|&node| &heap[node]);
    let targets = |node: &Node| node.edges.into_iter().flatten();
    nodes.map(|node| node.key + targets(node).map(|target| heap[target].key).sum::<u64>()).sum()
}
