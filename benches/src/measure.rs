//! What a child measures of itself: the time of the part in question, and its peak memory.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};

use crate::pause::{PauseLog, Pauses};

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
    /// The part of it that the kernel took, mostly for page faults; `None` where the system does
    /// not tell (anything but Linux).
    pub system_ns: Option<u64>,
    /// How long the program was stopped for collections, where the implementation tells.
    #[serde(default)]
    pub pauses: Option<Pauses>,
}

/// Measures `part`, which does `operation_count` operations, and keeps what it returns.
///
/// Returning the heap from `part` keeps its tear-down out of the figure: an arena gives back its
/// memory at the end of a process, and so would a language runtime.
pub fn measure<T>(operation_count: u64, part: impl FnOnce() -> T) -> (T, Timing) {
    let wall = Instant::now();
    let cpu = ProcessTime::now();
    let system_ns = system_ns();
    let value = part();
    let timing = Timing {
        operation_count,
        cpu: cpu.elapsed(),
        wall: wall.elapsed(),
        system_ns: system_ns_since(system_ns),
    };
    (value, timing)
}

/// A measured time that waits for its checksum.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    operation_count: u64,
    wall: Duration,
    cpu: Duration,
    system_ns: Option<u64>,
}

impl Timing {
    /// Completes the measurement with what the run computed.
    pub fn with_checksum(self, checksum: u64) -> Measured {
        Measured {
            checksum,
            operation_count: self.operation_count,
            wall_ns: self.wall.as_nanos() as u64,
            cpu_ns: self.cpu.as_nanos() as u64,
            system_ns: self.system_ns,
            pauses: None,
        }
    }
}

impl Measured {
    /// Adds the pauses that the program saw.
    pub fn with_pauses(self, log: PauseLog) -> Self {
        Self { pauses: log.pauses(), ..self }
    }
}

fn system_ns_since(start: Option<u64>) -> Option<u64> {
    Some(system_ns()?.saturating_sub(start?))
}

/// The time the kernel spent for this process, in steps of 10 ms.
fn system_ns() -> Option<u64> {
    // Linux shows ticks of 1/100 s to programs, whatever it counts in itself.
    const TICK_NS: u64 = 10_000_000;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may contain anything; the fields after it start with the third, and
    // the one in question is the fifteenth (see `man 5 proc_pid_stat`).
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(15 - 3)?.parse().ok()?;
    Some(ticks * TICK_NS)
}

/// The most memory this process had resident at one time, in bytes; `None` where the system does
/// not tell (anything but Linux).
pub fn rss_bytes_max() -> Option<u64> {
    Some(status("VmHWM:")? * 1024)
}

/// The memory that this process has resident, in bytes; `None` where the system does not tell.
pub fn rss_bytes() -> Option<u64> {
    Some(status("VmRSS:")? * 1024)
}

/// How many threads this process has; `None` where the system does not tell.
pub fn thread_count() -> Option<u64> {
    status("Threads:")
}

/// A number of Linux's account of this process (see `man 5 proc_pid_status`).
fn status(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
