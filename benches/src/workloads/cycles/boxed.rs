//! Chains of `Box` in place of rings, each freed when it goes out of scope.

use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};

struct Node {
    next: Option<Box<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size * RING_LEN, || {
        let mut sum = 0u64;
        for keys in batches(size).flatten() {
            sum = sum.wrapping_add(walk(&chain(keys)));
        }
        sum
    });
    timing.with_checksum(checksum)
}

fn chain(mut keys: std::ops::Range<u64>) -> Box<Node> {
    let first = Box::new(Node { next: None, key: keys.start });
    keys.next();
    keys.fold(first, |last, key| Box::new(Node { next: Some(last), key }))
}

fn walk(first: &Node) -> u64 {
    let nodes = std::iter::successors(Some(first), |node| node.next.as_deref());
    nodes.fold(0, |sum, node| sum.wrapping_add(node.key))
}
