//! How long a thread could run and did not.

use std::fs::File;
use std::io::{Read, Seek};
use std::time::Duration;

/// Reads how long the thread that opened it has waited for a processor so far. On Linux, if its kernel
/// counts that; elsewhere it never did.
pub(super) struct RunDelay(Option<File>);

impl RunDelay {
    pub(super) fn open() -> RunDelay {
        RunDelay(File::open("/proc/thread-self/schedstat").ok())
    }

    pub(super) fn read(&mut self) -> Duration {
        Duration::from_nanos(self.nanos().unwrap_or(0))
    }

    /// The second of three numbers, see the kernel's `sched-stats`. Takes about a microsecond.
    fn nanos(&mut self) -> Option<u64> {
        let file = self.0.as_mut()?;
        let mut text = [0; 80];
        file.rewind().ok()?;
        let length = file.read(&mut text).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}
