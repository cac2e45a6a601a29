//! A list of `Box`, freed in a loop.

use super::NODE_BYTES;
use crate::measure::{measure, Measured};

struct Node {
    next: Option<Box<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size, || {
        let mut list = None;
        for key in 0..size {
            list = Some(Box::new(Node { next: list, key }));
        }
        let sum = walk(&list);
        while let Some(mut node) = list {
            list = node.next.take();
        }
        sum
    });
    timing.with_checksum(checksum)
}

fn walk(list: &Option<Box<Node>>) -> u64 {
    let nodes = std::iter::successors(list.as_ref(), |node| node.next.as_ref());
    nodes.map(|node| node.key).sum()
}
