//! A list in boa_gc, which collects when it likes, inside of an allocation, and once more at the end.

use boa_gc::{Finalize, Gc, Trace};

use super::NODE_BYTES;
use crate::measure::{measure, Measured};

#[derive(Finalize, Trace)]
struct Node {
    next: Option<Gc<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size, || {
        let mut list = None;
        for key in 0..size {
            list = Some(Gc::new(Node { next: list, key }));
        }
        let sum = walk(&list);
        drop(list);
        boa_gc::force_collect();
        sum
    });
    timing.with_checksum(checksum)
}

fn walk(list: &Option<Gc<Node>>) -> u64 {
    let nodes = std::iter::successors(list.as_ref(), |node| node.next.as_ref());
    nodes.map(|node| node.key).sum()
}
