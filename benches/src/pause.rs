//! Pauses: how long a program waits where it lets the collector in.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The lengths of a run's pauses, by rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// How many there were.
    pub count: u64,
    /// The median: half of them were no longer.
    pub p50_ns: u64,
    /// 99 of 100 were no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Notes pauses while a program runs.
#[derive(Clone, Debug, Default)]
pub struct PauseLog(Vec<u64>);

impl PauseLog {
    /// Runs `pause` and notes how long it took.
    pub fn time<T>(&mut self, pause: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let value = pause();
        self.note(begun.elapsed());
        value
    }

    fn note(&mut self, pause: Duration) {
        self.0.push(pause.as_nanos() as u64);
    }

    /// Sums the pauses up; `None` if there were none.
    pub fn pauses(mut self) -> Option<Pauses> {
        self.0.sort_unstable();
        let &max_ns = self.0.last()?;
        let (p50_ns, p99_ns) = (self.percentile(50), self.percentile(99));
        Some(Pauses { count: self.0.len() as u64, p50_ns, p99_ns, max_ns })
    }

    /// The least of the sorted pauses that `percent` of them do not exceed; there must be one.
    fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0[rank - 1]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PauseLog, Pauses};

    fn log(pauses: impl IntoIterator<Item = u64>) -> PauseLog {
        let mut log = PauseLog::default();
        pauses.into_iter().for_each(|pause| log.note(Duration::from_nanos(pause)));
        log
    }

    #[test]
    fn percentiles_are_pauses_that_happened() {
        let hundred = log((1..=100).rev()).pauses();
        assert_eq!(hundred, Some(Pauses { count: 100, p50_ns: 50, p99_ns: 99, max_ns: 100 }));
        let one = log([7]).pauses();
        assert_eq!(one, Some(Pauses { count: 1, p50_ns: 7, p99_ns: 7, max_ns: 7 }));
    }

    #[test]
    fn no_pause_is_no_figure() {
        assert_eq!(log([]).pauses(), None);
    }
}
