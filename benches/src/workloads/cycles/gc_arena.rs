//! Rings in a gc-arena: one `mutate` per batch, the debt is paid after each.

use gc_arena::barrier::unlock;
use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Collect, Gc, Lock, Mutation, Rootable};

use super::super::gc_arena_pacing::STOP_THE_WORLD;
use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};

#[derive(Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    next: Lock<Option<Gc<'gc, Node<'gc>>>>,
    key: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    run_paced(size, Pacing::DEFAULT)
}

pub(super) fn run_stop_the_world(size: u64) -> Measured {
    run_paced(size, STOP_THE_WORLD)
}

fn run_paced(size: u64, pacing: Pacing) -> Measured {
    let ((checksum, _arena), timing) = measure(size * RING_LEN, || {
        let mut arena = Arena::<Rootable![()]>::new(|_| ());
        arena.metrics().set_pacing(pacing);
        let mut sum = 0u64;
        for batch in batches(size) {
            arena.mutate(|mc, ()| {
                for keys in batch {
                    sum = sum.wrapping_add(walk(ring(mc, keys)));
                }
            });
            arena.collect_debt();
        }
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn ring<'gc>(mc: &Mutation<'gc>, mut keys: std::ops::Range<u64>) -> Gc<'gc, Node<'gc>> {
    let node = |next, key| Gc::new(mc, Node { next: Lock::new(next), key });
    let first = node(None, keys.start);
    keys.next();
    let last = keys.fold(first, |last, key| node(Some(last), key));
    unlock!(Gc::write(mc, first), Node, next).set(Some(last));
    last
}

/// Sums up the keys from one node around to the same one.
fn walk<'gc>(start: Gc<'gc, Node<'gc>>) -> u64 {
    let mut sum = 0u64;
    let mut node = start;
    loop {
        sum = sum.wrapping_add(node.key);
        match node.next.get() {
            Some(next) if !Gc::ptr_eq(next, start) => node = next,
            _ => return sum,
        }
    }
}
