//! Garbage in a gc-arena: one `mutate` per batch, the debt is paid after each.

use gc_arena::metrics::Pacing;
use gc_arena::{Arena, Gc, Rootable};

use super::super::gc_arena_pacing::STOP_THE_WORLD;
use super::{batches, payload, read};
use crate::measure::{measure, Measured};

pub(super) fn run<const WORDS: usize>(size: u64) -> Measured {
    run_paced::<WORDS>(size, Pacing::DEFAULT)
}

pub(super) fn run_stop_the_world<const WORDS: usize>(size: u64) -> Measured {
    run_paced::<WORDS>(size, STOP_THE_WORLD)
}

fn run_paced<const WORDS: usize>(size: u64, pacing: Pacing) -> Measured {
    let ((checksum, _arena), timing) = measure(size, || {
        let mut arena = Arena::<Rootable![()]>::new(|_| ());
        arena.metrics().set_pacing(pacing);
        let mut sum = 0u64;
        for batch in batches(size) {
            arena.mutate(|mc, ()| {
                for number in batch {
                    sum = sum.wrapping_add(read(&Gc::new(mc, payload::<WORDS>(number))));
                }
            });
            arena.collect_debt();
        }
        (sum, arena)
    });
    timing.with_checksum(checksum)
}
