//! Quads in a cspace of limited size: the lock is held throughout, one scope per tree, a safepoint
//! after each small one. A tree that finds no room is built again after a collection.

use cspace::{Alloc, CSpace, ExclusiveGuard, Gc, GcRoot, IObject, Rootable};

use super::super::safepoint::safepoint;
use super::{Program, GARBAGE_DEPTH, NODE_BYTES, ROUNDS};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;

#[derive(IObject)]
struct Quad<'gc> {
    children: Option<[Gc<'gc, Quad<'gc>>; 4]>,
}

const _: () = assert!(size_of::<Quad<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(program.node_count(), || {
        let space = space(program);
        let mut lock = space.lock();
        let live: GcRoot<Rootable![Quad<'_>]> = lock
            .scope(|cx| build(cx, program.depth).map(|live| cx.root(live)))
            .expect("the heap is larger than the live tree");
        let mut sum = 0;
        for _ in 0..ROUNDS {
            for _ in 0..program.garbage_tree_count() {
                sum += short_lived(&mut lock, &mut pauses);
            }
            sum += lock.scope(|cx| node_count(live.get(cx)));
        }
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

/// A space that cannot grow beyond the heap.
fn space(program: Program) -> CSpace {
    let heap_bytes = program.heap_bytes() as usize;
    CSpace::builder()
        .gc(cspace::GcMode::Safepoints)
        .max_heap_bytes(heap_bytes)
        .build()
        .expect("the settings make sense")
}

fn short_lived(lock: &mut ExclusiveGuard<'_>, pauses: &mut PauseLog) -> u64 {
    loop {
        if let Some(sum) = lock.scope(|cx| build(cx, GARBAGE_DEPTH).map(branch)) {
            safepoint(lock, pauses);
            return sum;
        }
        pauses.time(|| lock.collect()).expect("nothing keeps this space from collecting");
    }
}

/// Builds a tree; `None` if there is no room.
fn build<'gc>(cx: &Alloc<'gc>, depth: u64) -> Option<Gc<'gc, Quad<'gc>>> {
    let children = match depth {
        0 => None,
        _ => {
            let child = || build(cx, depth - 1);
            Some([child()?, child()?, child()?, child()?])
        }
    };
    cx.try_alloc(Quad { children }).ok()
}

fn branch(quad: Gc<'_, Quad<'_>>) -> u64 {
    match quad.children {
        None => 1,
        Some([first, ..]) => 1 + branch(first),
    }
}

fn node_count(quad: Gc<'_, Quad<'_>>) -> u64 {
    let children = quad.children.into_iter().flatten();
    1 + children.map(node_count).sum::<u64>()
}
