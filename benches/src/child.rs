//! A child process: runs one implementation of one workload once, and reports on one line.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::measure::{rss_bytes_max, Measured};
use crate::workload::Allocator;
use crate::workloads;

/// What a child prints, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildReport {
    /// The measured part.
    pub measured: Measured,
    /// The whole process's peak, set-up included; set-up is alike for all implementations.
    pub rss_bytes_max: Option<u64>,
}

/// The main function of a child whose global allocator is `allocator`.
pub fn main(allocator: Allocator) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(allocator, &arguments) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(allocator: Allocator, arguments: &[String]) -> Result<String, String> {
    let [workload, label, size] = arguments else {
        return Err("usage: <workload> <label> <size>; the runner starts children".to_owned());
    };
    let size: u64 = size.parse().map_err(|_| format!("bad size `{size}`"))?;
    let implementation = workloads::ALL
        .iter()
        .find(|candidate| candidate.name == workload)
        .and_then(|workload| workload.implementation(label))
        .ok_or_else(|| format!("no `{label}` for `{workload}` in this child"))?;
    if implementation.allocator != allocator {
        return Err(format!("`{label}` does not run on {allocator:?}"));
    }
    let measured = (implementation.run)(size);
    let report = ChildReport { measured, rss_bytes_max: rss_bytes_max() };
    serde_json::to_string(&report).map_err(|error| error.to_string())
}
