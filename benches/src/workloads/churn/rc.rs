//! Churn with `Rc`: an object is freed when the last reference to it goes.

use std::cell::Cell;
use std::rc::Rc;

use super::{fill, replace, Step, NODE_BYTES};
use crate::measure::{measure, Measured};

type Edges = Option<[Rc<Node>; 2]>;

struct Node {
    edges: Cell<Edges>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _table), timing) = measure(replace(size).len() as u64, || {
        let mut table = Vec::new();
        for step in fill(size) {
            table.push(node(&table, step));
        }
        for step in replace(size) {
            let new = node(&table, step);
            std::mem::replace(&mut table[step.entry], new).edges.set(None);
        }
        (table.iter().map(|node| node.sum()).sum(), table)
    });
    timing.with_checksum(checksum)
}

fn node(table: &[Rc<Node>], step: Step) -> Rc<Node> {
    let edges = step.targets.map(|targets| targets.map(|target| Rc::clone(&table[target])));
    Rc::new(Node { edges: Cell::new(edges), key: step.key, _payload: 0 })
}

impl Node {
    fn sum(&self) -> u64 {
        let edges = self.edges.take();
        let sum = self.key + edges.iter().flatten().map(|target| target.key).sum::<u64>();
        self.edges.set(edges);
        sum
    }
}
