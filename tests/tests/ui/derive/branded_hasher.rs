//! A hasher is not visited, so it cannot hold references.
use cspace::*;
use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher};

struct Seeded<'gc>(Gc<'gc, u64>);

impl BuildHasher for Seeded<'_> {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

#[derive(IObject)]
struct Table<'gc> {
    entries: HashMap<u64, Gc<'gc, u64>, Seeded<'gc>>,
}

fn main() {}
