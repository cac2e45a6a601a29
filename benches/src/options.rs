//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::size;

/// Runs each workload for each implementation in a process of its own, in turn, and prints a
/// markdown table of medians, spreads, ratios and peak memory.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Workloads or families of them (`alloc`, `access`); all of them if none are named.
    pub workloads: Vec<String>,

    /// Sizes such as `16`, `500k` or `1M`, instead of each workload's own.
    #[arg(long, value_delimiter = ',', value_parser = size::parse)]
    pub sizes: Vec<u64>,

    /// How many times each implementation runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// Run only the implementations with these labels.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,

    /// The label that ratios refer to, instead of each workload's own.
    #[arg(long)]
    pub base: Option<String>,

    /// Processors the children may use, as `taskset --cpu-list` takes them: with one, a collector's
    /// thread shares it with the program.
    #[arg(long, value_name = "LIST")]
    pub pin: Option<String>,

    /// Also write every measurement to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Print what can be run, and run nothing.
    #[arg(long)]
    pub list: bool,
}
