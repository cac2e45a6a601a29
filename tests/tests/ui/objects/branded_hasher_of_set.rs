//! The hasher of a set is dropped with the object and must not own references.
use cspace::*;
use std::collections::HashSet;
use std::hash::{BuildHasher, DefaultHasher};

struct Seeded<'gc>(Gc<'gc, u64>);

impl BuildHasher for Seeded<'_> {
    type Hasher = DefaultHasher;
    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

fn keep<'gc>(cx: &Exclusive<'gc>, _seed: Gc<'gc, u64>) {
    cx.alloc(HashSet::<u64>::new());
    cx.alloc(HashSet::<u64, Seeded<'gc>>::with_hasher(Seeded(_seed))); // refused
}

fn main() {
    let _ = keep;
}
