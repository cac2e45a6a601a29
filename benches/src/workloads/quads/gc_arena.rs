//! Quads in a gc-arena that collects as if the heap were limited: one `mutate` per tree, the debt is
//! paid after each.

use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Collect, Gc, Mutation, Rootable};

use super::{Program, BUDGET_FACTOR, GARBAGE_DEPTH, NODE_BYTES, ROUNDS};
use crate::measure::{measure, Measured};

#[derive(Collect)]
#[collect(no_drop)]
struct Quad<'gc> {
    children: Option<[Gc<'gc, Quad<'gc>>; 4]>,
}

const _: () = assert!(size_of::<Quad<'_>>() == NODE_BYTES);

/// Whole collections, each shortly before such a heap is full.
const PACING: Pacing = Pacing { sleep_factor: BUDGET_FACTOR, ..Pacing::STOP_THE_WORLD };

pub(super) fn run(size: u64) -> Measured {
    let program = Program::new(size);
    let ((checksum, _arena), timing) = measure(program.node_count(), || {
        let mut arena = Arena::<Rootable![Gc<'_, Quad<'_>>]>::new(|mc| build(mc, program.depth));
        arena.metrics().set_pacing(PACING);
        let mut sum = 0;
        for _ in 0..ROUNDS {
            for _ in 0..program.garbage_tree_count() {
                sum += arena.mutate(|mc, _| branch(build(mc, GARBAGE_DEPTH)));
                arena.collect_debt();
            }
            sum += arena.mutate(|_, &live| node_count(live));
        }
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn build<'gc>(mc: &Mutation<'gc>, depth: u64) -> Gc<'gc, Quad<'gc>> {
    let children = (depth > 0).then(|| [(); 4].map(|()| build(mc, depth - 1)));
    Gc::new(mc, Quad { children })
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
