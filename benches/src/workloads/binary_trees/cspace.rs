//! Binary trees in a cspace: the lock is held throughout, one scope per tree, a safepoint after
//! each.

use cspace::{Alloc, ExclusiveGuard, Gc, GcRoot, IObject, Rootable};

use super::super::safepoint::safepoint;
use super::{Program, NODE_BYTES};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;
use crate::workloads::safepoint_space;

#[derive(IObject)]
struct Tree<'gc> {
    children: Option<[Gc<'gc, Tree<'gc>>; 2]>,
}

const _: () = assert!(size_of::<Tree<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(program.node_count(), || {
        let space = safepoint_space();
        let mut lock = space.lock();
        let mut sum = short_lived(&mut lock, program.stretch_depth(), &mut pauses);
        let long_lived: GcRoot<Rootable![Tree<'_>]> =
            lock.scope(|cx| cx.root(build(cx, program.depth_max)));
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += short_lived(&mut lock, depth, &mut pauses);
            }
        }
        sum += lock.scope(|cx| node_count(long_lived.get(cx)));
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

fn short_lived(lock: &mut ExclusiveGuard<'_>, depth: u64, pauses: &mut PauseLog) -> u64 {
    let sum = lock.scope(|cx| node_count(build(cx, depth)));
    safepoint(lock, pauses);
    sum
}

fn build<'gc>(cx: &Alloc<'gc>, depth: u64) -> Gc<'gc, Tree<'gc>> {
    let children = (depth > 0).then(|| [build(cx, depth - 1), build(cx, depth - 1)]);
    cx.alloc(Tree { children })
}

fn node_count(tree: Gc<'_, Tree<'_>>) -> u64 {
    match tree.children {
        None => 1,
        Some([left, right]) => 1 + node_count(left) + node_count(right),
    }
}
