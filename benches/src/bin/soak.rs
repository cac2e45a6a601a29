//! Runs everything at once for minutes; `--help` lists the options.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cspace_benches::soak::{self, Options};

fn main() -> ExitCode {
    soak::main(&Options::parse())
}
