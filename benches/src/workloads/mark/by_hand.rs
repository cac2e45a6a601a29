//! Marking by hand: an epoch in each object, a stack of objects to visit.

use std::cell::Cell;

use super::{Graph, COLLECTION_COUNT, NODE_BYTES};
use crate::measure::{measure, Measured};

struct Node<'a> {
    next: Cell<Option<&'a Node<'a>>>,
    other: Cell<Option<&'a Node<'a>>>,
    key: u64,
    epoch: Cell<u64>,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let graph = Graph::new(size);
    let size = graph.size();
    let nodes: Vec<Node> = (0..graph.size()).map(Node::new).collect();
    for (node, [next, other]) in nodes.iter().zip(graph.edges()) {
        node.next.set(Some(&nodes[next]));
        node.other.set(Some(&nodes[other]));
    }
    drop(graph);
    let root = &nodes[0];
    mark(root, 1);
    let (marked, timing) = measure(COLLECTION_COUNT * size, || {
        (0..COLLECTION_COUNT).map(|collection| mark(root, collection + 2)).sum::<u64>()
    });
    assert_eq!(marked, COLLECTION_COUNT * size);
    timing.with_checksum(walk(root))
}

impl Node<'_> {
    fn new(key: u64) -> Self {
        Self { next: Cell::new(None), other: Cell::new(None), key, epoch: Cell::new(0) }
    }
}

/// Marks everything reachable, and returns how much it was.
///
/// An object is marked when an edge to it is seen, not when it leaves the stack: the two loads of
/// an object's edges then do not wait for each other, and the stack holds each object once.
fn mark<'a>(root: &'a Node<'a>, epoch: u64) -> u64 {
    root.epoch.set(epoch);
    let mut marked = 0;
    let mut stack = vec![root];
    while let Some(node) = stack.pop() {
        marked += 1;
        for target in [node.next.get(), node.other.get()].into_iter().flatten() {
            if target.epoch.replace(epoch) != epoch {
                stack.push(target);
            }
        }
    }
    marked
}

fn walk<'a>(root: &'a Node<'a>) -> u64 {
    let mut sum = 0;
    let mut node = root;
    loop {
        sum += node.key + node.other.get().map_or(0, |other| other.key);
        match node.next.get() {
            Some(next) if !std::ptr::eq(next, root) => node = next,
            _ => return sum,
        }
    }
}
