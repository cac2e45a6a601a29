//! Whether a driver is busy with user code, for how long nobody knows.
//!
//! What counts is the piece of user code that it is in, a cleaner, say: many short ones in a row end by themselves, and what
//! another thread collects meanwhile only makes more of them. But if the rest of a single cycle takes very long, by many
//! pieces, that counts too. A driver that is late has a stand-in, see `stand_in.rs`.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cspace_core::collector::{PiecesWatch, WatchedPieces};

/// A driver that has run a piece of user code for so long is late: others collect in its place. Most pieces take less.
const LATE: Duration = Duration::from_millis(10);

/// And after so many times that it is, however much waits for it; also if it has been in the rest of one cycle for so long,
/// however short the pieces are: a quarter of a second.
const STUCK: u32 = 25;

/// When the process first asked.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a driver tells of its user code. Written by the driver, read by mutators and stand-ins: a hint.
#[derive(Debug)]
pub(crate) struct Busy {
    /// When the piece that it is in began, in nanoseconds since `ORIGIN`, from 1; 0 while it runs none.
    since: AtomicU64,
    /// When the rest of a cycle that it is in began, in the same way.
    rest_since: AtomicU64,
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
        Busy { since: AtomicU64::new(0), rest_since: AtomicU64::new(0) }
    }

    /// The driver begins to run user code.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        let before = self.since.load(Relaxed);
        let busy = Arc::clone(self);
        if before != 0 {
            return Running { _watched: None, busy, before };
        }
        self.begin_rest();
        let _watched = WatchedPieces::begin(Arc::clone(self) as _);
        Running { _watched, busy, before }
    }

    /// Makes as if the piece had begun at the beginning of time; whether it had not.
    #[cfg(test)]
    pub(crate) fn begun_long_ago(&self) -> bool {
        self.rest_since.store(1, Relaxed);
        self.since.swap(1, Relaxed) > 1
    }

    /// Whether it has run a piece of user code for long.
    pub(crate) fn is_late(&self) -> bool {
        self.late_at().is_some_and(|late_at| late_at <= Instant::now())
    }

    /// From when on it is late, if it runs user code.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        self.stand_in_at(0)
    }

    /// From when on its stand-in collects in its place, if it runs user code: it is late, and the later the more it has to
    /// do already. Else a driver whose pieces are not short would be given more in each of them than it gets done.
    pub(crate) fn stand_in_at(&self, waiting: usize) -> Option<Instant> {
        let since = self.since.load(Relaxed);
        if since == 0 {
            return None;
        }
        let factor = u32::try_from(waiting).unwrap_or(STUCK).saturating_add(1).min(STUCK);
        let [piece, rest] = [(since, factor), (self.rest_since.load(Relaxed), STUCK)]
            .map(|(since, factor)| *ORIGIN + Duration::from_nanos(since) + LATE * factor);
        Some(piece.min(rest))
    }
}

impl PiecesWatch for Busy {
    fn between_pieces(&self) {
        self.since.store(now(), Relaxed);
    }

    fn begin_rest(&self) {
        let now = now();
        self.rest_since.store(now, Relaxed);
        self.since.store(now, Relaxed);
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
        assert!(busy.begun_long_ago());
        while now() <= LATE.as_nanos() as u64 {
            std::thread::yield_now();
        }
        assert!(busy.is_late());
        drop(inner);
        drop(outer);
        assert!(!busy.is_late());
        assert_eq!(busy.stand_in_at(0), None);
    }

    #[test]
    fn a_stand_in_waits_the_longer_the_more_there_is_to_do_but_not_for_ever() {
        let busy = Arc::new(Busy::new());
        let _running = busy.begin();
        let at = |waiting| busy.stand_in_at(waiting).unwrap();
        assert_eq!((at(3) - at(0), at(usize::MAX) - at(0)), (3 * LATE, (STUCK - 1) * LATE));
        busy.begun_long_ago();
        let before = at(0);
        // The next piece, of the same rest.
        busy.between_pieces();
        assert!(at(0) > before && at(0) <= at(usize::MAX));
        assert_eq!(at(usize::MAX), *ORIGIN + Duration::from_nanos(1) + STUCK * LATE);
        busy.begin_rest();
        assert!(at(usize::MAX) > *ORIGIN + Duration::from_nanos(1) + STUCK * LATE);
    }
}
