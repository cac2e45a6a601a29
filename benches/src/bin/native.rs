//! Measures memory that is not objects; `--help` lists the options.

#![forbid(unsafe_code)]

use clap::Parser;
use cspace_benches::native::{self, Options};

fn main() {
    native::main(&Options::parse(), "the system's allocator");
}
