//! Churn in a cspace: the table is an object, the lock is held throughout, a scope lasts until a
//! collection is wanted.

use cspace::{Alloc, Gc, GcRoot, IObject, Rootable, Slice, Slot};

use super::super::safepoint::safepoint;
use super::{fill, replace, Step, BATCH, NODE_BYTES};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;
use crate::workloads::safepoint_space;

type Edge<'gc> = Slot<'gc, Option<Gc<'gc, Node<'gc>>>>;
type Table<'gc> = Slice<Edge<'gc>>;

#[derive(IObject)]
struct Node<'gc> {
    left: Edge<'gc>,
    right: Edge<'gc>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(replace(size).len() as u64, || {
        let space = safepoint_space();
        let mut lock = space.lock();
        let table: GcRoot<Rootable![Table<'_>]> = lock.scope(|cx| {
            let table = cx.alloc_slice(fill(size).count(), |_| Slot::new(None));
            fill(size).for_each(|step| put(cx, table, step));
            cx.root(table)
        });
        let mut steps = replace(size);
        while steps.len() > 0 {
            lock.scope(|cx| {
                let table = table.get(cx);
                while steps.len() > 0 && !cx.should_yield() {
                    steps.by_ref().take(BATCH).for_each(|step| put(cx, table, step));
                }
            });
            safepoint(&mut lock, &mut pauses);
        }
        let sum = lock.scope(|cx| sum(cx, table.get(cx)));
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

#[inline(always)]
fn put<'gc>(cx: &Alloc<'gc>, table: Gc<'gc, Table<'gc>>, step: Step) {
    let entries = table.elems();
    let [left, right] = match step.targets {
        None => [None; 2],
        Some(targets) => targets.map(|target| entries[target].get(cx)),
    };
    let (left, right) = (Slot::new(left), Slot::new(right));
    let new = cx.alloc(Node { left, right, key: step.key, _payload: 0 });
    let old = entries[step.entry].get(cx);
    entries[step.entry].set(cx, Some(new));
    if let Some(old) = old {
        old.left.set(cx, None);
        old.right.set(cx, None);
    }
}

fn sum<'gc>(cx: &Alloc<'gc>, table: Gc<'gc, Table<'gc>>) -> u64 {
    let nodes = table.elems().iter().filter_map(|entry| entry.get(cx));
    nodes
        .map(|node| {
            let targets = [node.left.get(cx), node.right.get(cx)];
            node.key + targets.iter().flatten().map(|target| target.key).sum::<u64>()
        })
        .sum()
}
