//! Whether a driver is busy with user code, for how long nobody knows.
//!
//! One that is late has a stand-in, see `stand_in.rs`.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A driver that has run user code for so long without an end is late: mutators collect in its place. The drops of
/// most collections take less.
const LATE: Duration = Duration::from_millis(10);

/// When the process first asked.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a driver tells of its user code. Written by the driver, read by mutators: a hint.
#[derive(Debug)]
pub(crate) struct Busy {
    /// When it began, in nanoseconds since `ORIGIN`, from 1; 0 while it runs none.
    since: AtomicU64,
}

/// Until it is dropped, the driver runs user code.
pub(crate) struct Running<'b> {
    busy: &'b Busy,
    before: u64,
}

impl Busy {
    pub(crate) const fn new() -> Busy {
        Busy { since: AtomicU64::new(0) }
    }

    /// The driver begins to run user code.
    pub(crate) fn begin(&self) -> Running<'_> {
        let before = self.since.load(Relaxed);
        if before == 0 {
            self.since.store(now(), Relaxed);
        }
        Running { busy: self, before }
    }

    /// Whether it has run user code for long.
    pub(crate) fn is_late(&self) -> bool {
        let since = self.since.load(Relaxed);
        since != 0 && now().saturating_sub(since) >= LATE.as_nanos() as u64
    }

    /// From when on it is late, if it runs user code.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        let since = self.since.load(Relaxed);
        (since != 0).then(|| *ORIGIN + Duration::from_nanos(since) + LATE)
    }
}

impl Running<'_> {
    /// Whether it ran none before.
    pub(crate) fn is_outermost(&self) -> bool {
        self.before == 0
    }
}

/// When who begins something now is late with it.
pub(crate) fn late_from_now() -> Instant {
    Instant::now() + LATE
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.busy.since.store(self.before, Relaxed);
    }
}

fn now() -> u64 {
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_late_when_its_user_code_takes_long() {
        let busy = Busy::new();
        assert!(!busy.is_late());
        assert_eq!(busy.late_at(), None);
        let outer = busy.begin();
        let inner = busy.begin();
        assert!(outer.is_outermost() && !inner.is_outermost());
        assert!(busy.late_at().is_some_and(|at| at > Instant::now()) || busy.is_late());
        // As if it had begun at the beginning of time.
        busy.since.store(1, Relaxed);
        while now() <= LATE.as_nanos() as u64 {
            std::thread::yield_now();
        }
        assert!(busy.is_late());
        drop(inner);
        drop(outer);
        assert!(!busy.is_late());
    }
}
