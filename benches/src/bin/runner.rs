//! Runs workloads and prints what they cost; `--help` lists the options.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cspace_benches::options::Options;
use cspace_benches::runner;

fn main() -> ExitCode {
    match runner::main(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
