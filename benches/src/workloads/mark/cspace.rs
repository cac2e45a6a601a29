//! Full collections of a cspace, asked for by a thread that does not hold the lock.

use cspace::{Alloc, CSpace, Gc, GcRoot, IObject, Rootable, Slot};

use super::{Graph, COLLECTION_COUNT, NODE_BYTES};
use crate::measure::{measure, Measured};
use crate::workloads::safepoint_space;

type Edge<'gc> = Slot<'gc, Option<Gc<'gc, Node<'gc>>>>;

#[derive(IObject)]
struct Node<'gc> {
    next: Edge<'gc>,
    other: Edge<'gc>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let graph = Graph::new(size);
    let size = graph.size();
    let space = safepoint_space();
    let root: GcRoot<Rootable![Node<'_>]> = space.exclusive(|cx| cx.root(build(cx, graph)));
    collect(&space);
    let ((), timing) = measure(COLLECTION_COUNT * size, || {
        for _ in 0..COLLECTION_COUNT {
            collect(&space);
        }
    });
    assert_eq!(space.num_objects() as u64, size);
    timing.with_checksum(space.exclusive(|cx| walk(cx, root.get(cx))))
}

fn collect(space: &CSpace) {
    space.collect().expect("nothing keeps this space from collecting");
}

fn build<'gc>(cx: &Alloc<'gc>, graph: Graph) -> Gc<'gc, Node<'gc>> {
    let node =
        |key| cx.alloc(Node { next: Slot::new(None), other: Slot::new(None), key, _payload: 0 });
    let nodes: Vec<Gc<Node>> = (0..graph.size()).map(node).collect();
    for (node, [next, other]) in nodes.iter().zip(graph.edges()) {
        node.next.set(cx, Some(nodes[next]));
        node.other.set(cx, Some(nodes[other]));
    }
    nodes[0]
}

fn walk<'gc>(cx: &Alloc<'gc>, root: Gc<'gc, Node<'gc>>) -> u64 {
    let mut sum = 0;
    let mut node = root;
    loop {
        sum += node.key + node.other.get(cx).map_or(0, |other| other.key);
        match node.next.get(cx) {
            Some(next) if !Gc::ptr_eq(next, root) => node = next,
            _ => return sum,
        }
    }
}
