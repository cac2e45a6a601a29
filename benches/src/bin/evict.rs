//! Measures eviction; `--help` lists the options.

#![forbid(unsafe_code)]

use clap::Parser;
use cspace_benches::evict::{self, Options};

fn main() {
    evict::main(&Options::parse());
}
