//! Churn in one bump arena that keeps every object of the run.

use std::cell::Cell;

use bumpalo::Bump;

use super::{fill, replace, Step, NODE_BYTES};
use crate::measure::{measure, Measured};

struct Node<'a> {
    edges: Cell<Option<[&'a Node<'a>; 2]>>,
    key: u64,
    _payload: u64,
}

const _: () = assert!(size_of::<Node<'_>>() == NODE_BYTES);

pub(super) fn run(size: u64) -> Measured {
    let ((checksum, _arena), timing) = measure(replace(size).len() as u64, || {
        let arena = Bump::new();
        let mut table: Vec<&Node> = Vec::new();
        for step in fill(size) {
            table.push(node(&arena, &table, step));
        }
        for step in replace(size) {
            let new = node(&arena, &table, step);
            std::mem::replace(&mut table[step.entry], new).edges.set(None);
        }
        let sum = table.iter().map(|node| node.sum()).sum();
        drop(table);
        (sum, arena)
    });
    timing.with_checksum(checksum)
}

fn node<'a>(arena: &'a Bump, table: &[&'a Node<'a>], step: Step) -> &'a Node<'a> {
    let edges = step.targets.map(|targets| targets.map(|target| table[target]));
    arena.alloc(Node { edges: Cell::new(edges), key: step.key, _payload: 0 })
}

impl Node<'_> {
    fn sum(&self) -> u64 {
        self.key + self.edges.get().iter().flatten().map(|target| target.key).sum::<u64>()
    }
}
