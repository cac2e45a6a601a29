//! Counts instructions; `--help` lists the options.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cspace_benches::counted::{self, Options};

fn main() -> ExitCode {
    counted::main(&Options::parse())
}
