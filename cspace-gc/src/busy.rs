//! Whether a driver is busy with user code, for how long nobody knows.
//!
//! What counts is the piece of user code that it is in, a cleaner, say: many short ones in a row end by themselves, and what
//! another thread collects meanwhile only makes more of them. A driver that is late with a piece has a stand-in, see
//! `stand_in.rs`.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cspace_core::collector::{PiecesWatch, WatchedPieces};

/// A driver that has run a piece of user code for so long is late: others collect in its place. Most pieces take less.
const LATE: Duration = Duration::from_millis(10);

/// A driver that has been in a piece for more than a quarter of a second is stuck, however much waits for it.
const WAITING_MAX: u32 = 24;

/// When the process first asked.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a driver tells of its user code. Written by the driver, read by mutators and stand-ins: a hint.
#[derive(Debug)]
pub(crate) struct Busy {
    /// When the piece that it is in began, in nanoseconds since `ORIGIN`, from 1; 0 while it runs none.
    since: AtomicU64,
}

/// Until it is dropped, the driver runs user code.
pub(crate) struct Running {
    /// Of the outermost one only.
    _watched: Option<WatchedPieces>,
    busy: Arc<Busy>,
    before: u64,
}

impl Busy {
    pub(crate) const fn new() -> Busy {
        Busy { since: AtomicU64::new(0) }
    }

    /// The driver begins to run user code.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        let before = self.since.load(Relaxed);
        let busy = Arc::clone(self);
        if before != 0 {
            return Running { _watched: None, busy, before };
        }
        self.since.store(now(), Relaxed);
        let _watched = WatchedPieces::begin(Arc::clone(self) as _);
        Running { _watched, busy, before }
    }

    /// Makes as if the piece had begun at the beginning of time; whether it had not.
    #[cfg(test)]
    pub(crate) fn begun_long_ago(&self) -> bool {
        self.since.swap(1, Relaxed) > 1
    }

    /// Whether it has run a piece of user code for long.
    pub(crate) fn is_late(&self) -> bool {
        let since = self.since.load(Relaxed);
        since != 0 && now().saturating_sub(since) >= LATE.as_nanos() as u64
    }

    /// From when on its stand-in collects in its place, if it runs user code: it is late, and the later the more it has to
    /// do already. Else a driver whose pieces are not short would be given more in each of them than it gets done.
    pub(crate) fn stand_in_at(&self, waiting: usize) -> Option<Instant> {
        let further = LATE * u32::try_from(waiting).unwrap_or(WAITING_MAX).min(WAITING_MAX);
        Some(self.late_at()? + further)
    }

    /// From when on it is late, if it runs user code.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        let since = self.since.load(Relaxed);
        (since != 0).then(|| *ORIGIN + Duration::from_nanos(since) + LATE)
    }
}

impl PiecesWatch for Busy {
    fn between_pieces(&self) {
        self.since.store(now(), Relaxed);
    }
}

impl Running {
    /// Whether it ran none before.
    pub(crate) fn is_outermost(&self) -> bool {
        self.before == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An outer one goes on with the piece that it is in.
        if self.before == 0 {
            self.busy.since.store(0, Relaxed);
        }
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
        let busy = Arc::new(Busy::new());
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
        // The next piece.
        busy.between_pieces();
        assert!(busy.since.load(Relaxed) > 1);
        let [none, some, many] = [0, 3, usize::MAX].map(|n| busy.stand_in_at(n).unwrap());
        assert_eq!((some - none, many - none), (3 * LATE, WAITING_MAX * LATE));
        drop(outer);
        assert!(!busy.is_late());
        assert_eq!(busy.stand_in_at(0), None);
    }
}
