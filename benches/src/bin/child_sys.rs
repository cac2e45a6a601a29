//! The child on the system's allocator.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use cspace_benches::child;
use cspace_benches::workload::Allocator;

fn main() -> ExitCode {
    child::main(Allocator::System)
}
