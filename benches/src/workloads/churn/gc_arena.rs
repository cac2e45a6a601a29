//! Churn in a gc-arena: the table belongs to the root, one `mutate_root` per batch, the debt is paid
//! after each.

use gc_arena::barrier::unlock;
use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Collect, Gc, Lock, Mutation, Rootable};

use super::super::gc_arena_pacing::STOP_THE_WORLD;
use super::{fill, replace, Step, BATCH, NODE_BYTES};
use crate::measure::{measure, Measured};

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    edges: Lock<Option<[Gc<'gc, Node<'gc>>; 2]>>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

type Table<'gc> = Vec<Gc<'gc, Node<'gc>>>;

pub(super) fn run(size: u64) -> Measured {
    run_paced(size, Pacing::DEFAULT)
}

pub(super) fn run_stop_the_world(size: u64) -> Measured {
    run_paced(size, STOP_THE_WORLD)
}

fn run_paced(size: u64, pacing: Pacing) -> Measured {
    let ((checksum, _arena), timing) = measure(replace(size).len() as u64, || {
        let mut arena = Arena::<Rootable![Table<'_>]>::new(|mc| {
            let mut table = Vec::new();
            for step in fill(size) {
                table.push(node(mc, &table, step));
            }
            table
        });
        arena.metrics().set_pacing(pacing);
        let mut steps = replace(size);
        while steps.len() > 0 {
            arena.mutate_root(|mc, table| {
                for step in steps.by_ref().take(BATCH) {
                    let new = node(mc, table, step);
                    let old = std::mem::replace(&mut table[step.entry], new);
                    unlock!(Gc::write(mc, old), Node, edges).set(None);
                }
            });
            arena.collect_debt();
        }
        let sum = arena.mutate(|_, table| table.iter().map(|node| node.sum()).sum());
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn node<'gc>(mc: &Mutation<'gc>, table: &[Gc<'gc, Node<'gc>>], step: Step) -> Gc<'gc, Node<'gc>> {
    let edges = step.targets.map(|targets| targets.map(|target| table[target]));
    Gc::new(mc, Node { edges: Lock::new(edges), key: step.key, _payload: 0 })
}

impl Node<'_> {
    fn sum(&self) -> u64 {
        self.key + self.edges.get().iter().flatten().map(|target| target.key).sum::<u64>()
    }
}
