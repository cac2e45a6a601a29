//! Everything that was measured, for the tables and for `--json`.

use serde::Serialize;

use crate::child::ChildReport;
use crate::pause::Pauses;
use crate::summary::Summary;

/// One workload at one size.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The workload's name.
    pub workload: &'static str,
    /// The size it ran at.
    pub size: u64,
    /// What the size counts.
    pub size_unit: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// The label that ratios refer to.
    pub base: String,
    /// One entry per implementation, in the workload's order.
    pub rows: Vec<Row>,
}

/// One implementation's runs.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who ran.
    pub label: &'static str,
    /// The runs, in the order they were made.
    pub runs: Vec<ChildReport>,
}

impl Row {
    /// Time on the clock, in milliseconds.
    pub fn wall_ms(&self) -> Option<Summary> {
        self.summary(|run| Some(run.measured.wall_ns as f64 / 1e6))
    }

    /// Processor time, in milliseconds.
    pub fn cpu_ms(&self) -> Option<Summary> {
        self.summary(|run| Some(run.measured.cpu_ns as f64 / 1e6))
    }

    /// The kernel's part of the processor time, in milliseconds.
    pub fn system_ms(&self) -> Option<Summary> {
        self.summary(|run| Some(run.measured.system_ns? as f64 / 1e6))
    }

    /// Time on the clock per operation, in nanoseconds.
    pub fn operation_ns(&self) -> Option<Summary> {
        self.summary(|run| {
            let measured = &run.measured;
            Some(measured.wall_ns as f64 / measured.operation_count as f64)
        })
    }

    /// Peak resident set, in MiB.
    pub fn rss_mib_max(&self) -> Option<Summary> {
        self.summary(|run| Some(run.rss_bytes_max? as f64 / f64::from(1 << 20)))
    }

    /// Pauses, in milliseconds: the medians of the runs' 50th and 99th percentiles, and the longest.
    pub fn pauses_ms(&self) -> Option<[f64; 3]> {
        let of = |value: fn(&Pauses) -> u64| {
            self.summary(|run| Some(value(run.measured.pauses.as_ref()?) as f64 / 1e6))
        };
        let p50 = of(|pauses| pauses.p50_ns)?.median;
        let p99 = of(|pauses| pauses.p99_ns)?.median;
        let max = of(|pauses| pauses.max_ns)?.max;
        Some([p50, p99, max])
    }

    fn summary(&self, value: impl Fn(&ChildReport) -> Option<f64>) -> Option<Summary> {
        Summary::of(self.runs.iter().filter_map(value))
    }
}
