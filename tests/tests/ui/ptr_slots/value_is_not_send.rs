//! A value is dropped by any thread.
use cspace::*;
use std::sync::MutexGuard;

static KEY: PtrSlot<MutexGuard<'static, u32>> = PtrSlot::new();

fn main() {
    let _ = &KEY;
}
