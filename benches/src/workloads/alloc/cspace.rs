//! Garbage in a cspace: the lock is held throughout, a scope lasts until a collection is wanted.

use cspace::{Alloc, IObject};

use super::super::safepoint::safepoint;
use super::{batches, payload, read};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;
use crate::workloads::safepoint_space;

#[derive(IObject)]
struct Garbage<const WORDS: usize>([u64; WORDS]);

const _: () = assert!(!<Garbage<2> as IObject<'_>>::NEEDS_VISIT);

pub(super) fn run<const WORDS: usize>(size: u64) -> Measured {
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(size, || {
        let space = safepoint_space();
        let mut lock = space.lock();
        let mut sum = 0u64;
        let mut batches = batches(size).peekable();
        while batches.peek().is_some() {
            lock.scope(|cx| {
                for batch in &mut batches {
                    sum = sum.wrapping_add(run_batch::<WORDS>(cx, batch));
                    if cx.should_yield() {
                        break;
                    }
                }
            });
            safepoint(&mut lock, &mut pauses);
        }
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

fn run_batch<const WORDS: usize>(cx: &Alloc<'_>, batch: std::ops::Range<u64>) -> u64 {
    let mut sum = 0u64;
    for number in batch {
        let garbage = cx.alloc(Garbage(payload::<WORDS>(number)));
        sum = sum.wrapping_add(read(&garbage.0));
    }
    sum
}
