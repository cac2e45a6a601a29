//! The child on mimalloc.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use cspace_benches::child;
use cspace_benches::workload::Allocator;
use mimalloc::MiMalloc;

#[global_allocator]
static GLOBAL: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    child::main(Allocator::Mimalloc)
}
