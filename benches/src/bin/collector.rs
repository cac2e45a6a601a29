//! Measures the collector at work; `--help` lists the options.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cspace_benches::collector::{self, options::Options};

fn main() -> ExitCode {
    match collector::main(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
