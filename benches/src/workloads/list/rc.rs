//! A list of `Rc`, freed in a loop.

use std::rc::Rc;

use super::NODE_BYTES;
use crate::measure::{measure, Measured};

struct Node {
    next: Option<Rc<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size, || {
        let mut list = None;
        for key in 0..size {
            list = Some(Rc::new(Node { next: list, key }));
        }
        let sum = walk(&list);
        while let Some(mut node) = list {
            list = Rc::get_mut(&mut node).and_then(|node| node.next.take());
        }
        sum
    });
    timing.with_checksum(checksum)
}

fn walk(list: &Option<Rc<Node>>) -> u64 {
    let nodes = std::iter::successors(list.as_ref(), |node| node.next.as_ref());
    nodes.map(|node| node.key).sum()
}
