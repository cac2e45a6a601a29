//! Measures memory that is not objects, on mimalloc; `--help` lists the options.

#![forbid(unsafe_code)]

use clap::Parser;
use cspace_benches::native::{self, Options};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    native::main(&Options::parse(), "mimalloc");
}
