//! Full cycles of a gc-arena; pacing does not matter to them.

use gc_arena::barrier::unlock;
use gc_arena::{Arena, Collect, Gc, Lock, Mutation, Rootable};

use super::{Graph, COLLECTION_COUNT, NODE_BYTES};
use crate::measure::{measure, Measured};

type Edge<'gc> = Option<Gc<'gc, Node<'gc>>>;

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    next: Lock<Edge<'gc>>,
    other: Lock<Edge<'gc>>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let graph = Graph::new(size);
    let size = graph.size();
    let mut arena = Arena::<Rootable![Gc<'_, Node<'_>>]>::new(|mc| build(mc, graph));
    arena.finish_cycle();
    let ((), timing) = measure(COLLECTION_COUNT * size, || {
        for _ in 0..COLLECTION_COUNT {
            arena.finish_cycle();
        }
    });
    assert_eq!(arena.metrics().total_gc_count() as u64, size);
    timing.with_checksum(arena.mutate(|_, root| walk(*root)))
}

fn build<'gc>(mc: &Mutation<'gc>, graph: Graph) -> Gc<'gc, Node<'gc>> {
    let node =
        |key| Gc::new(mc, Node { next: Lock::new(None), other: Lock::new(None), key, _payload: 0 });
    let nodes: Vec<Gc<Node>> = (0..graph.size()).map(node).collect();
    for (&node, [next, other]) in nodes.iter().zip(graph.edges()) {
        let node = Gc::write(mc, node);
        unlock!(node, Node, next).set(Some(nodes[next]));
        unlock!(node, Node, other).set(Some(nodes[other]));
    }
    nodes[0]
}

fn walk<'gc>(root: Gc<'gc, Node<'gc>>) -> u64 {
    let mut sum = 0;
    let mut node = root;
    loop {
        sum += node.key + node.other.get().map_or(0, |other| other.key);
        match node.next.get() {
            Some(next) if !Gc::ptr_eq(next, root) => node = next,
            _ => return sum,
        }
    }
}
