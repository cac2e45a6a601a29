//! A list in a cspace: the lock is held throughout, a scope lasts until a collection is wanted, and a
//! root keeps the list from one to the next.

use cspace::{Alloc, Gc, GcRoot, IObject, Rootable};

use super::super::safepoint::safepoint;
use super::{batches, NODE_BYTES};
use crate::measure::{measure, Measured};
use crate::pause::PauseLog;
use crate::workloads::safepoint_space;

#[derive(IObject)]
struct Node<'gc> {
    next: Option<Gc<'gc, Node<'gc>>>,
    key: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

type List = Option<GcRoot<Rootable![Node<'_>]>>;

pub(super) fn run(size: u64) -> Measured {
    let mut pauses = PauseLog::default();
    let ((checksum, _space), timing) = measure(size, || {
        let space = safepoint_space();
        let mut lock = space.lock();
        let mut list: List = None;
        let mut batches = batches(size).peekable();
        while batches.peek().is_some() {
            list = lock.scope(|cx| {
                let mut head = list.take().map(|head| head.get(cx));
                for batch in batches.by_ref() {
                    head = extend(cx, head, batch);
                    if cx.should_yield() {
                        break;
                    }
                }
                head.map(|head| cx.root(head))
            });
            safepoint(&mut lock, &mut pauses);
        }
        let sum = lock.scope(|cx| walk(list.as_ref().map(|head| head.get(cx))));
        drop(list);
        pauses.time(|| lock.collect()).expect("nothing keeps this space from collecting");
        drop(lock);
        (sum, space)
    });
    timing.with_checksum(checksum).with_pauses(pauses)
}

fn extend<'gc>(
    cx: &Alloc<'gc>,
    head: Option<Gc<'gc, Node<'gc>>>,
    keys: std::ops::Range<u64>,
) -> Option<Gc<'gc, Node<'gc>>> {
    keys.fold(head, |next, key| Some(cx.alloc(Node { next, key })))
}

fn walk<'gc>(list: Option<Gc<'gc, Node<'gc>>>) -> u64 {
    std::iter::successors(list, |node| node.next).map(|node| node.key).sum()
}
