//! A value is read by many threads at once.
use cspace::*;
use std::cell::Cell;

static KEY: PtrSlot<Cell<u32>> = PtrSlot::new();

fn main() {
    let _ = &KEY;
}
