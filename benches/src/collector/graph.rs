//! Something to mark and to merge.

use cspace::{Alloc, CSpace, Gc, GcRoot, IObject, Rootable, Slot};

use crate::random::Random;

type Edge<'gc> = Slot<'gc, Option<Gc<'gc, Node<'gc>>>>;

/// 32 bytes with two edges.
#[derive(IObject)]
pub(super) struct Node<'gc> {
    next: Edge<'gc>,
    other: Edge<'gc>,
    pub(super) key: u64,
    _payload: u64,
}

pub(super) type NodeRoot = GcRoot<Rootable![Node<'_>]>;

/// Allocates a ring of objects, each of which also refers to a random one, and makes roots of some of
/// them, evenly spaced. All are reachable.
pub(super) fn build(space: &CSpace, objects: u64, roots: u64) -> Vec<NodeRoot> {
    let mut random = Random::new(objects);
    space.exclusive(|cx| {
        let nodes: Vec<Gc<Node>> = (0..objects.max(1)).map(|key| node(cx, key)).collect();
        for (index, from) in nodes.iter().enumerate() {
            from.next.set(cx, Some(nodes[(index + 1) % nodes.len()]));
            from.other.set(cx, Some(nodes[random.below(nodes.len() as u64) as usize]));
        }
        (0..roots).map(|root| cx.root(nodes[(root * objects / roots) as usize])).collect()
    })
}

/// One object.
pub(super) fn node<'gc>(cx: &Alloc<'gc>, key: u64) -> Gc<'gc, Node<'gc>> {
    cx.alloc(Node { next: Slot::new(None), other: Slot::new(None), key, _payload: 0 })
}
