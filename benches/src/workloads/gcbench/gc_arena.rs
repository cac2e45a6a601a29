//! GCBench in a gc-arena: one `mutate` per tree, the debt is paid after each.

use gc_arena::barrier::unlock;
use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Collect, Gc, Lock, Mutation, Rootable};

use super::super::gc_arena_pacing::STOP_THE_WORLD;
use super::{check, element, Program, ARRAY_LEN, NODE_BYTES};
use crate::measure::{measure, Measured};

type Edge<'gc> = Lock<Option<Gc<'gc, Node<'gc>>>>;

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    left: Edge<'gc>,
    right: Edge<'gc>,
    _payload: [u32; 2],
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

#[derive(Collect)]
#[collect(no_drop)]
struct Root<'gc> {
    long_lived: Option<Gc<'gc, Node<'gc>>>,
    array: Gc<'gc, Vec<f64>>,
}

type NodeArena = Arena<Rootable![Root<'_>]>;

pub(super) fn run(size: u64) -> Measured {
    run_paced(size, Pacing::DEFAULT)
}

pub(super) fn run_stop_the_world(size: u64) -> Measured {
    run_paced(size, STOP_THE_WORLD)
}

fn run_paced(size: u64, pacing: Pacing) -> Measured {
    let program = Program::new(size);
    let ((checksum, _arena), timing) = measure(program.node_count(), || {
        let mut arena =
            NodeArena::new(|mc| Root { long_lived: None, array: Gc::new(mc, Vec::new()) });
        arena.metrics().set_pacing(pacing);
        let mut sum = short_lived(&mut arena, bottom_up, program.stretch_depth());
        arena.mutate_root(|mc, root| {
            root.long_lived = Some(top_down(mc, program.depth_max));
            root.array = Gc::new(mc, (0..ARRAY_LEN).map(element).collect());
        });
        for (depth, tree_count) in program.batches() {
            for _ in 0..tree_count {
                sum += short_lived(&mut arena, top_down, depth);
            }
            for _ in 0..tree_count {
                sum += short_lived(&mut arena, bottom_up, depth);
            }
        }
        sum += arena
            .mutate(|_, root| root.long_lived.map_or(0, node_count) + check(root.array.as_slice()));
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn short_lived(
    arena: &mut NodeArena,
    build: impl for<'gc> FnOnce(&Mutation<'gc>, u64) -> Gc<'gc, Node<'gc>>,
    depth: u64,
) -> u64 {
    let sum = arena.mutate(|mc, _| branch(build(mc, depth)));
    arena.collect_debt();
    sum
}

fn node<'gc>(mc: &Mutation<'gc>, children: Option<[Gc<'gc, Node<'gc>>; 2]>) -> Gc<'gc, Node<'gc>> {
    let [left, right] = children.map_or([None, None], |children| children.map(Some));
    Gc::new(mc, Node { left: Lock::new(left), right: Lock::new(right), _payload: [0; 2] })
}

fn bottom_up<'gc>(mc: &Mutation<'gc>, depth: u64) -> Gc<'gc, Node<'gc>> {
    node(mc, (depth > 0).then(|| [bottom_up(mc, depth - 1), bottom_up(mc, depth - 1)]))
}

fn top_down<'gc>(mc: &Mutation<'gc>, depth: u64) -> Gc<'gc, Node<'gc>> {
    let root = node(mc, None);
    populate(mc, root, depth);
    root
}

fn populate<'gc>(mc: &Mutation<'gc>, parent: Gc<'gc, Node<'gc>>, depth: u64) {
    if depth > 0 {
        let (left, right) = (node(mc, None), node(mc, None));
        let parent = Gc::write(mc, parent);
        unlock!(parent, Node, left).set(Some(left));
        unlock!(parent, Node, right).set(Some(right));
        populate(mc, left, depth - 1);
        populate(mc, right, depth - 1);
    }
}

fn branch<'gc>(mut node: Gc<'gc, Node<'gc>>) -> u64 {
    let mut count = 1;
    while let Some(left) = node.left.get() {
        node = left;
        count += 1;
    }
    count
}

fn node_count<'gc>(node: Gc<'gc, Node<'gc>>) -> u64 {
    let children = [node.left.get(), node.right.get()];
    1 + children.into_iter().flatten().map(node_count).sum::<u64>()
}
