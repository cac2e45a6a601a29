//! Measures how chains of ephemerons converge; `--help` lists the options.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cspace_benches::ephemeron::{self, Options};

fn main() -> ExitCode {
    match ephemeron::main(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
