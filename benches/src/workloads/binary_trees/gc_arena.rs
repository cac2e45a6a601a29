//! Binary trees in a gc-arena: one `mutate` per tree, the debt is paid after each.

use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Collect, Gc, Mutation, Rootable};

use super::super::gc_arena_pacing::STOP_THE_WORLD;
use super::{Program, NODE_BYTES};
use crate::measure::{measure, Measured};

#[derive(Collect)]
#[collect(no_drop)]
struct Tree<'gc> {
    children: Option<[Gc<'gc, Tree<'gc>>; 2]>,
}

const _: () = assert!(size_of::<Tree<'_>>() == NODE_BYTES);

#[derive(Collect)]
#[collect(no_drop)]
struct Root<'gc> {
    long_lived: Option<Gc<'gc, Tree<'gc>>>,
}

type TreeArena = Arena<Rootable![Root<'_>]>;

pub(super) fn run(size: u64) -> Measured {
    run_paced(size, Pacing::DEFAULT)
}

pub(super) fn run_stop_the_world(size: u64) -> Measured {
    run_paced(size, STOP_THE_WORLD)
}

fn run_paced(size: u64, pacing: Pacing) -> Measured {
    let program = Program::new(size);
    let ((checksum, _arena), timing) = measure(program.node_count(), || {
        let mut arena = TreeArena::new(|_| Root { long_lived: None });
        arena.metrics().set_pacing(pacing);
        let mut sum = short_lived(&mut arena, program.stretch_depth());
        arena.mutate_root(|mc, root| root.long_lived = Some(build(mc, program.depth_max)));
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += short_lived(&mut arena, depth);
            }
        }
        sum += arena.mutate(|_, root| root.long_lived.map_or(0, node_count));
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn short_lived(arena: &mut TreeArena, depth: u64) -> u64 {
    let sum = arena.mutate(|mc, _| node_count(build(mc, depth)));
    arena.collect_debt();
    sum
}

fn build<'gc>(mc: &Mutation<'gc>, depth: u64) -> Gc<'gc, Tree<'gc>> {
    let children = (depth > 0).then(|| [build(mc, depth - 1), build(mc, depth - 1)]);
    Gc::new(mc, Tree { children })
}

fn node_count(tree: Gc<'_, Tree<'_>>) -> u64 {
    match tree.children {
        None => 1,
        Some([left, right]) => 1 + node_count(left) + node_count(right),
    }
}
