//! Rings in a cspace: the lock is held throughout, one scope per batch, a safepoint after each.

use cspace::{Alloc, Gc, IObject, Slot};

use super::super::safepoint::safepoint;
use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;
use crate::workloads::safepoint_space;

#[derive(IObject)]
struct Node<'gc> {
    next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
    key: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(size * RING_LEN, || {
        let space = safepoint_space();
        let mut lock = space.lock();
        let mut sum = 0u64;
        for batch in batches(size) {
            lock.scope(|cx| {
                for keys in batch {
                    sum = sum.wrapping_add(walk(cx, ring(cx, keys)));
                }
            });
            safepoint(&mut lock, &mut pauses);
        }
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

fn ring<'gc>(cx: &Alloc<'gc>, mut keys: std::ops::Range<u64>) -> Gc<'gc, Node<'gc>> {
    let node = |next, key| cx.alloc(Node { next: Slot::new(next), key });
    let first = node(None, keys.start);
    keys.next();
    let last = keys.fold(first, |last, key| node(Some(last), key));
    first.next.set(cx, Some(last));
    last
}

/// Sums up the keys from one node around to the same one.
fn walk<'gc>(cx: &Alloc<'gc>, start: Gc<'gc, Node<'gc>>) -> u64 {
    let mut sum = 0u64;
    let mut node = start;
    loop {
        sum = sum.wrapping_add(node.key);
        match node.next.get(cx) {
            Some(next) if !Gc::ptr_eq(next, start) => node = next,
            _ => return sum,
        }
    }
}
