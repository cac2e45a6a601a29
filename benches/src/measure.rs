//! What a child measures of itself: the time of the part in question, and its peak memory.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

/// The outcome of one run of a workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What the run computed; equal for all implementations.
    pub checksum: u64,
    /// How many operations the measured part did.
    pub operation_count: u64,
    /// Time on the clock.
    pub wall_ns: u64,
    /// Processor time of all threads, the collector's own included.
    pub cpu_ns: u64,
}

/// Measures `part`, which does `operation_count` operations, and keeps what it returns.
///
/// Returning the heap from `part` keeps its tear-down out of the figure: an arena gives back its
/// memory at the end of a process, and so would a language runtime.
pub fn measure<T>(operation_count: u64, part: impl FnOnce() -> T) -> (T, Timing) {
    let wall = Instant::now();
    let cpu = ProcessTime::now();
    let value = part();
    let timing = Timing {
        operation_count,
        cpu: cpu.elapsed(),
        wall: wall.elapsed(),
    };
    (value, timing)
}

/// A measured time that waits for its checksum.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    operation_count: u64,
    wall: Duration,
    cpu: Duration,
}

impl Timing {
    /// Completes the measurement with what the run computed.
    pub fn with_checksum(self, checksum: u64) -> Measured {
        Measured {
            checksum,
            operation_count: self.operation_count,
            wall_ns: self.wall.as_nanos() as u64,
            cpu_ns: self.cpu.as_nanos() as u64,
        }
    }
}

/// The most memory this process had resident at one time, in bytes; `None` where the system does
/// not tell (anything but Linux).
pub fn rss_bytes_max() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
