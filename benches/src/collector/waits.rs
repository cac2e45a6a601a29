//! How long somebody waited, many times.

use std::time::Duration;

use super::case::Figure;
use super::run_delay::RunDelay;

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(Vec<u64>);

impl Waits {
    pub(super) fn push(&mut self, wait: Duration) {
        self.0.push(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that the given share of all does not exceed, in µs; 1.0 gives the worst, and so does a share
    /// of too few to tell. Zero if there are none.
    pub(super) fn quantile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (share * self.0.len() as f64).ceil() as usize;
        let nanos = self.0.get(rank.clamp(1, self.0.len().max(1)) - 1);
        nanos.map_or(0.0, |&nanos| nanos as f64 / 1000.0)
    }

    /// The median, the 99th percentile and the worst.
    pub(super) fn figures(mut self, what: &str) -> [Figure; 3] {
        [("p50", 0.5), ("p99", 0.99), ("worst", 1.0)]
            .map(|(name, share)| Figure::new(format!("{what}, {name}, µs"), self.quantile(share)))
    }
}

impl FromIterator<Duration> for Waits {
    fn from_iter<I: IntoIterator<Item = Duration>>(waits: I) -> Waits {
        let mut all = Waits::default();
        waits.into_iter().for_each(|wait| all.push(wait));
        all
    }
}

/// How long one thread waited, with and without the time that it could run and did not.
pub(super) struct ThreadWaits {
    run_delay: RunDelay,
    delay_before: Duration,
    pub(super) all: Waits,
    pub(super) apart: Waits,
}

impl ThreadWaits {
    /// Of the calling thread.
    pub(super) fn new() -> ThreadWaits {
        let mut run_delay = RunDelay::open();
        let delay_before = run_delay.read();
        ThreadWaits { run_delay, delay_before, all: Waits::default(), apart: Waits::default() }
    }

    /// What follows may be a wait.
    pub(super) fn begin(&mut self) {
        self.delay_before = self.run_delay.read();
    }

    /// It was one. What was no wait since `begin`, or the last `push`, should have been short.
    pub(super) fn push(&mut self, wait: Duration) {
        let delay = self.run_delay.read();
        self.all.push(wait);
        self.apart.push(wait.saturating_sub(delay - self.delay_before));
        self.delay_before = delay;
    }

    pub(super) fn figures(self, what: &str) -> Vec<Figure> {
        let mut figures = self.all.figures(what).to_vec();
        let [_, p99, worst] = self.apart.figures("apart from scheduling");
        figures.extend([p99, worst]);
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let mut waits: Waits = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| waits.quantile(share)), [50.0, 99.0, 100.0]);
        assert_eq!(Waits::default().quantile(0.5), 0.0);
    }
}
