//! A list in a gc-arena: the root holds it, one `mutate_root` per batch, the debt is paid after each.

use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Collect, Gc, Rootable};

use super::super::gc_arena_pacing::STOP_THE_WORLD;
use super::{batches, NODE_BYTES};
use crate::measure::{measure, Measured};

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    next: List<'gc>,
    key: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

type List<'gc> = Option<Gc<'gc, Node<'gc>>>;

pub(super) fn run(size: u64) -> Measured {
    run_paced(size, Pacing::DEFAULT)
}

pub(super) fn run_stop_the_world(size: u64) -> Measured {
    run_paced(size, STOP_THE_WORLD)
}

fn run_paced(size: u64, pacing: Pacing) -> Measured {
    let ((checksum, _arena), timing) = measure(size, || {
        let mut arena = Arena::<Rootable![List<'_>]>::new(|_| None);
        arena.metrics().set_pacing(pacing);
        for batch in batches(size) {
            arena.mutate_root(|mc, list| {
                *list = batch.fold(*list, |next, key| Some(Gc::new(mc, Node { next, key })));
            });
            arena.collect_debt();
        }
        let sum = arena.mutate(|_, list| walk(*list));
        arena.mutate_root(|_, list| *list = None);
        // A cycle that is under way may have marked the list already.
        arena.finish_cycle();
        arena.finish_cycle();
        assert_eq!(arena.metrics().total_gc_count(), 0);
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn walk(list: List<'_>) -> u64 {
    std::iter::successors(list, |node| node.next).map(|node| node.key).sum()
}
