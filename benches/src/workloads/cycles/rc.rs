//! Rings of `Rc`, the last edge of each a `Weak`.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use super::{batches, NODE_BYTES, RING_LEN};
use crate::measure::{measure, Measured};

/// The tag of the edge makes this more than the 16 bytes of the others.
struct Node {
    next: OnceCell<Edge>,
    key: u64,
}

enum Edge {
    Strong(Rc<Node>),
    Weak(Weak<Node>),
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 8);

pub(super) fn run(size: u64) -> Measured {
    let (checksum, timing) = measure(size * RING_LEN, || {
        let mut sum = 0u64;
        for keys in batches(size).flatten() {
            sum = sum.wrapping_add(walk(&ring(keys)));
        }
        sum
    });
    timing.with_checksum(checksum)
}

fn ring(mut keys: std::ops::Range<u64>) -> Rc<Node> {
    let first = Rc::new(Node { next: OnceCell::new(), key: keys.start });
    keys.next();
    let last = keys.fold(Rc::clone(&first), |last, key| {
        Rc::new(Node { next: Edge::Strong(last).into(), key })
    });
    assert!(first.next.set(Edge::Weak(Rc::downgrade(&last))).is_ok());
    last
}

/// Sums up the keys from one node around to the same one.
fn walk(start: &Rc<Node>) -> u64 {
    let mut sum = 0u64;
    let mut node = Rc::clone(start);
    loop {
        sum = sum.wrapping_add(node.key);
        let next = match node.next.get() {
            Some(Edge::Strong(next)) => Rc::clone(next),
            Some(Edge::Weak(next)) => next.upgrade().expect("the ring is held by its start"),
            None => unreachable!("the ring is closed"),
        };
        if Rc::ptr_eq(&next, start) {
            return sum;
        }
        node = next;
    }
}
