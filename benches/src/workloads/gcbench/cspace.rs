//! GCBench in a cspace: the lock is held throughout, one scope per tree, a safepoint after each.

use cspace::{Alloc, ExclusiveGuard, Gc, GcRoot, IObject, Rootable, Slice, Slot};

use super::super::safepoint::safepoint;
use super::{check, element, Program, ARRAY_LEN, NODE_BYTES};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;
use crate::workloads::safepoint_space;

type Edge<'gc> = Slot<'gc, Option<Gc<'gc, Node<'gc>>>>;

#[derive(IObject)]
struct Node<'gc> {
    left: Edge<'gc>,
    right: Edge<'gc>,
    _payload: [u32; 2],
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(program.node_count(), || {
        let space = safepoint_space();
        let mut lock = space.lock();
        let mut sum = short_lived(&mut lock, bottom_up, program.stretch_depth(), &mut pauses);
        let long_lived: GcRoot<Rootable![Node<'_>]> =
            lock.scope(|cx| cx.root(top_down(cx, program.depth_max)));
        let array: GcRoot<Rootable![Slice<f64>]> =
            lock.scope(|cx| cx.root(cx.alloc_slice(ARRAY_LEN, element)));
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += short_lived(&mut lock, top_down, depth, &mut pauses);
            }
            for _ in 0..tree_count {
                sum += short_lived(&mut lock, bottom_up, depth, &mut pauses);
            }
        }
        sum += lock.scope(|cx| node_count(cx, long_lived.get(cx)) + check(array.get(cx).elems()));
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

fn short_lived(
    lock: &mut ExclusiveGuard<'_>,
    build: impl for<'gc> FnOnce(&Alloc<'gc>, u64) -> Gc<'gc, Node<'gc>>,
    depth: u64,
    pauses: &mut PauseLog,
) -> u64 {
    let sum = lock.scope(|cx| branch(cx, build(cx, depth)));
    safepoint(lock, pauses);
    sum
}

fn node<'gc>(cx: &Alloc<'gc>, children: Option<[Gc<'gc, Node<'gc>>; 2]>) -> Gc<'gc, Node<'gc>> {
    let [left, right] = children.map_or([None, None], |children| children.map(Some));
    cx.alloc(Node { left: Slot::new(left), right: Slot::new(right), _payload: [0; 2] })
}

fn bottom_up<'gc>(cx: &Alloc<'gc>, depth: u64) -> Gc<'gc, Node<'gc>> {
    node(cx, (depth > 0).then(|| [bottom_up(cx, depth - 1), bottom_up(cx, depth - 1)]))
}

fn top_down<'gc>(cx: &Alloc<'gc>, depth: u64) -> Gc<'gc, Node<'gc>> {
    let root = node(cx, None);
    populate(cx, root, depth);
    root
}

fn populate<'gc>(cx: &Alloc<'gc>, parent: Gc<'gc, Node<'gc>>, depth: u64) {
    if depth > 0 {
        let (left, right) = (node(cx, None), node(cx, None));
        parent.left.set(cx, Some(left));
        parent.right.set(cx, Some(right));
        populate(cx, left, depth - 1);
        populate(cx, right, depth - 1);
    }
}

fn branch<'gc>(cx: &Alloc<'gc>, mut node: Gc<'gc, Node<'gc>>) -> u64 {
    let mut count = 1;
    while let Some(left) = node.left.get(cx) {
        node = left;
        count += 1;
    }
    count
}

fn node_count<'gc>(cx: &Alloc<'gc>, node: Gc<'gc, Node<'gc>>) -> u64 {
    let children = [node.left.get(cx), node.right.get(cx)];
    1 + children.into_iter().flatten().map(|child| node_count(cx, child)).sum::<u64>()
}
