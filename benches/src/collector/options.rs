//! The command line.

use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

use crate::size;

/// Measures the collector beside a program and prints a markdown table for each case: medians and ranges
/// of several runs, each in a process of its own, with the target where there is one.
///
/// Progress goes to the standard error stream. At full size all of it takes some three minutes and two
/// gigabytes of memory.
#[derive(Clone, Debug, Parser)]
#[command(name = "collector")]
pub struct Options {
    /// What to measure.
    #[arg(value_enum, default_value_t = Part::All)]
    pub part: Part,

    /// How many times each case runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// Run only the cases with these names.
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    pub only: Vec<String>,

    /// Print the cases with their questions, and run nothing.
    #[arg(long)]
    pub list: bool,

    /// How large everything is.
    #[command(flatten)]
    pub sizes: Sizes,

    /// Run this case once in this process and print its figures as JSON: what the command starts.
    #[arg(long, value_name = "CASE", hide = true)]
    pub child: Option<String>,
}

/// A part of the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The collector gets its turn beside busy threads, and they get theirs beside it.
    Fairness,
    /// What many idle spaces with one pool cost.
    Idle,
    /// How long `transfer_from` takes.
    Merge,
    /// All of them.
    All,
}

/// How large everything is. What a case does not need it ignores.
#[derive(Clone, Debug, Args)]
pub struct Sizes {
    /// Live objects of the space that is marked or merged, such as `1M`.
    #[arg(long, default_value = "1M", value_parser = size::parse)]
    pub objects: u64,

    /// Objects of the large space that is merged.
    #[arg(long, default_value = "10M", value_parser = size::parse)]
    pub objects_large: u64,

    /// Roots of a space that is merged.
    #[arg(long, default_value = "1k", value_parser = size::parse)]
    pub roots: u64,

    /// Roots of the space that is merged with many.
    #[arg(long, default_value = "1M", value_parser = size::parse)]
    pub roots_many: u64,

    /// Merges in each run; of large spaces a fifth of that.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub merges: u32,

    /// Requests with spaces of their own that are merged into a server's, and merges to and fro.
    #[arg(long, default_value = "50k", value_parser = size::parse)]
    pub requests: u64,

    /// Idle spaces.
    #[arg(long, default_value = "10k", value_parser = size::parse)]
    pub spaces: u64,

    /// How long each run of a case of fairness lasts.
    #[arg(long, value_name = "MS", default_value_t = 4000)]
    pub millis: u64,
}

impl Sizes {
    /// How long a run lasts.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The arguments that say these sizes.
    pub(super) fn to_arguments(&self) -> [String; 8] {
        let Sizes { objects, objects_large, roots, roots_many, merges, requests, spaces, millis } =
            self;
        [
            format!("--objects={objects}"),
            format!("--objects-large={objects_large}"),
            format!("--roots={roots}"),
            format!("--roots-many={roots_many}"),
            format!("--merges={merges}"),
            format!("--requests={requests}"),
            format!("--spaces={spaces}"),
            format!("--millis={millis}"),
        ]
    }
}
