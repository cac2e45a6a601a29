//! Only objects have families.
use cspace::*;

fn take(_: GcRoot<Rootable![std::cell::Cell<Gc<'_, u64>>]>) {}

fn main() {}
