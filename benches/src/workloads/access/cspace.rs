//! The operations on a cspace.

use std::hint::black_box;

use cspace::{CSpace, Gc, GcRoot, IObject, Rootable, Slot};

use crate::measure::{measure, Measured};
use crate::workloads::safepoint_space;

#[derive(IObject)]
struct Node<'gc> {
    edge: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    key: u64,
}

type NodeRoot = GcRoot<Rootable![Node<'_>]>;

/// Makes an object with key 1 whose slot holds the object itself.
fn node(space: &CSpace) -> NodeRoot {
    space.exclusive(|cx| {
        let node = cx.alloc(Node { edge: Slot::new(None), key: 1 });
        node.edge.set(cx, Some(node));
        cx.root(node)
    })
}

pub(super) fn exclusive(size: u64) -> Measured {
    let space = safepoint_space();
    let mut count = 0;
    let ((), timing) = measure(size, || {
        for _ in 0..size {
            black_box(&space).exclusive(|_| *black_box(&mut count) += 1);
        }
    });
    timing.with_checksum(count)
}

pub(super) fn shared(size: u64) -> Measured {
    let space = safepoint_space();
    let mut count = 0;
    let ((), timing) = measure(size, || {
        for _ in 0..size {
            black_box(&space).shared(|_| *black_box(&mut count) += 1);
        }
    });
    timing.with_checksum(count)
}

pub(super) fn scope(size: u64) -> Measured {
    let space = safepoint_space();
    let mut lock = space.lock();
    let mut count = 0;
    let ((), timing) = measure(size, || {
        for _ in 0..size {
            black_box(&mut lock).scope(|_| count += 1);
            lock.safepoint();
        }
    });
    timing.with_checksum(count)
}

pub(super) fn root_get(size: u64) -> Measured {
    let space = safepoint_space();
    let root = node(&space);
    space.exclusive(|cx| {
        let (sum, timing) = measure(size, || {
            let mut sum = 0;
            for _ in 0..size {
                sum += black_box(black_box(&root).get(cx)).key;
            }
            sum
        });
        timing.with_checksum(sum)
    })
}

pub(super) fn slot_get(size: u64) -> Measured {
    let space = safepoint_space();
    let root = node(&space);
    space.exclusive(|cx| {
        let node = Gc::as_ref(root.get(cx));
        let (count, timing) = measure(size, || {
            let mut count = 0;
            for _ in 0..size {
                count += u64::from(black_box(node).edge.get(cx).is_some());
            }
            count
        });
        timing.with_checksum(count)
    })
}

pub(super) fn slot_set(size: u64) -> Measured {
    let space = safepoint_space();
    let roots = [node(&space), node(&space)];
    space.exclusive(|cx| {
        let targets = [roots[0].get(cx), roots[1].get(cx)];
        let node = Gc::as_ref(targets[0]);
        let (count, timing) = measure(size, || {
            let mut count = 0;
            for turn in 0..size {
                black_box(node).edge.set(cx, Some(targets[turn as usize & 1]));
                count += 1;
            }
            count
        });
        assert!(node.edge.get(cx).is_some());
        timing.with_checksum(count)
    })
}
