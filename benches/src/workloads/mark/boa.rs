//! Forced collections of boa_gc. One counts the references between objects, to find the roots, and
//! then marks; nothing dies, so it does not mark a second time.

use std::cell::Cell;

use boa_gc::{Finalize, Gc, Trace};

use super::{Graph, COLLECTION_COUNT, NODE_BYTES};
use crate::measure::{measure, Measured};

type Edge = Cell<Option<Gc<Node>>>;

#[derive(Finalize, Trace)]
struct Node {
    next: Edge,
    other: Edge,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let graph = Graph::new(size);
    let size = graph.size();
    let root = build(graph);
    boa_gc::force_collect();
    let ((), timing) = measure(COLLECTION_COUNT * size, || {
        for _ in 0..COLLECTION_COUNT {
            boa_gc::force_collect();
        }
    });
    timing.with_checksum(walk(&root))
}

fn build(graph: Graph) -> Gc<Node> {
    let node =
        |key| Gc::new(Node { next: Cell::new(None), other: Cell::new(None), key, _payload: 0 });
    let nodes: Vec<Gc<Node>> = (0..graph.size()).map(node).collect();
    for (node, [next, other]) in nodes.iter().zip(graph.edges()) {
        node.next.set(Some(nodes[next].clone()));
        node.other.set(Some(nodes[other].clone()));
    }
    nodes[0].clone()
}

fn walk(root: &Gc<Node>) -> u64 {
    let mut sum = 0;
    let mut node = root.clone();
    loop {
        sum += node.key + get(&node.other).map_or(0, |other| other.key);
        match get(&node.next) {
            Some(next) if !Gc::ptr_eq(&next, root) => node = next,
            _ => return sum,
        }
    }
}

fn get(edge: &Edge) -> Option<Gc<Node>> {
    let target = edge.take();
    edge.set(target.clone());
    target
}
