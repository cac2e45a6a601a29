//! Churn in dumpster: counted, and every reference that goes without being the last makes its target a
//! suspect of being in a cycle.

use std::cell::RefCell;

use dumpster::unsync::Gc;
use dumpster::Trace;

use super::{fill, replace, Step, NODE_BYTES};
use crate::measure::{measure, Measured};

type Edges = Option<[Gc<Node>; 2]>;

/// A cell that dumpster traces counts its borrows, and a reference has no niche; so this is more than
/// the 32 bytes of the others.
#[derive(Trace)]
struct Node {
    edges: RefCell<Edges>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES + 16);

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _table), timing) = measure(replace(size).len() as u64, || {
        let mut table = Vec::new();
        for step in fill(size) {
            table.push(node(&table, step));
        }
        for step in replace(size) {
            let new = node(&table, step);
            std::mem::replace(&mut table[step.entry], new).edges.replace(None);
        }
        (table.iter().map(|node| node.sum()).sum(), table)
    });
    timing.with_checksum(checksum)
}

fn node(table: &[Gc<Node>], step: Step) -> Gc<Node> {
    let edges = step.targets.map(|targets| targets.map(|target| table[target].clone()));
    Gc::new(Node { edges: RefCell::new(edges), key: step.key, _payload: 0 })
}

impl Node {
    fn sum(&self) -> u64 {
        let edges = self.edges.borrow();
        self.key + edges.iter().flatten().map(|target| target.key).sum::<u64>()
    }
}
