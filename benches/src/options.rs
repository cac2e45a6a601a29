//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::pin::PinOption;
use crate::size;
use crate::workload::is_of_family;

/// Runs each workload for each implementation in a process of its own, in turn, checks that all computed
/// the same, and prints a markdown table of medians, spreads, ratios, pauses and peak memory.
///
/// Boehm's collector, Java, OCaml and Go take part where they are installed: cc with gc.h, javac and
/// java, ocamlopt, go. Without the feature `peers` there is only cspace beside those, Box and Rc.
#[derive(Clone, Debug, Parser)]
#[command(after_help = "\
Examples:
  everything, five times each          runner
  which workloads and labels exist     runner --list
  two sizes of one workload            runner binary-trees --sizes 16,18
  cspace against its nearest peers     runner churn --only cspace,gc-arena,boehm,java --base boehm
  a collector with its own processor   runner alloc --pin 0-1
  all tables and figures to files      runner --markdown tables.md --json figures.json

Progress and what is skipped go to the standard error, tables to the standard output.")]
pub struct Options {
    /// Workloads or families of them (`alloc`, `access`); all of them if none are named.
    pub workloads: Vec<String>,

    /// Sizes such as `16`, `500k` or `1M`, instead of each workload's own.
    #[arg(long, value_delimiter = ',', value_parser = size::parse)]
    pub sizes: Vec<u64>,

    /// How many times each implementation runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,

    /// Run only the implementations with these labels, or of these families (`gc-arena`, `java`).
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub only: Vec<String>,

    /// The label that ratios refer to, instead of each workload's own.
    #[arg(long, value_name = "LABEL")]
    pub base: Option<String>,

    /// Run no programs in other languages.
    #[arg(long)]
    pub no_foreign: bool,

    /// Processors that measured programs may use, as `taskset --cpu-list` takes them, or `none`. With
    /// one, a collector's thread shares it with the program. [default: the last one, where there is
    /// `taskset`]
    #[arg(long, value_name = "LIST")]
    pub pin: Option<PinOption>,

    /// Also write the tables to this file.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Also write every measurement to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Print what can be run, and run nothing.
    #[arg(long)]
    pub list: bool,
}

impl Options {
    /// Whether an implementation of this label is to run.
    pub fn wants(&self, label: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| is_of_family(label, pattern))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Options;

    #[test]
    fn labels_are_wanted_by_name_or_family() {
        let options = Options::parse_from(["runner", "--only", "gc-arena,cspace"]);
        assert!(options.wants("cspace"));
        assert!(options.wants("gc-arena-stw-mi"));
        assert!(!options.wants("safe-gc-mi"));
        assert!(Options::parse_from(["runner"]).wants("safe-gc-mi"));
    }
}
