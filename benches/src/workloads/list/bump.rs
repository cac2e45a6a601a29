//! A list in a bump arena that goes as a whole.

use bumpalo::Bump;

use super::NODE_BYTES;
use crate::measure::{measure, Measured};

struct Node<'a> {
    next: Option<&'a Node<'a>>,
    key: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _arena), timing) = measure(size, || {
        let arena = Bump::new();
        let mut list: Option<&Node> = None;
        for key in 0..size {
            list = Some(arena.alloc(Node { next: list, key }));
        }
        (walk(list), arena)
    });
    timing.with_checksum(checksum)
}

fn walk(list: Option<&Node<'_>>) -> u64 {
    std::iter::successors(list, |node| node.next).map(|node| node.key).sum()
}
