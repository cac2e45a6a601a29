//! A context is used by one thread at a time.

use cspace::native::{ConfigBuilder, Context};
use cspace::Ledger;

fn main() {
    let context = Context::new(&ConfigBuilder::new(&Ledger::default()).unwrap().freeze()).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| ());
        threads.spawn(|| context.used_bytes()); // refused
    });
}
