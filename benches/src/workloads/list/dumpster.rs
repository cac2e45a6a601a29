//! A list in dumpster, freed in a loop; each element is counted and never a suspect of being in a cycle.

use dumpster::unsync::Gc;
use dumpster::Trace;

use super::NODE_BYTES;
use crate::measure::{measure, Measured};

/// `Clone` is what taking an element apart asks for; none is copied. A reference may be dead and has no
/// niche, so this is more than the 16 bytes of the others.
#[derive(Clone, Trace)]
struct Node {
    next: Option<Gc<Node>>,
    key: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 8);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size, || {
        let mut list = None;
        for key in 0..size {
            list = Some(Gc::new(Node { next: list, key }));
        }
        let sum = walk(&list);
        while let Some(mut node) = list {
            list = Gc::make_mut(&mut node).next.take();
        }
        sum
    });
    timing.with_checksum(checksum)
}

fn walk(list: &Option<Gc<Node>>) -> u64 {
    let nodes = std::iter::successors(list.as_ref(), |node| node.next.as_ref());
    nodes.map(|node| node.key).sum()
}
