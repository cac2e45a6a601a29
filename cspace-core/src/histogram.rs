//! How long pauses were: a histogram of a fixed size.

use core::fmt;
use std::time::Duration;

/// Two buckets for each doubling, from a microsecond to half a minute.
const BUCKETS: usize = 50;

/// How often pauses were how long: in steps of about 40 %, from a microsecond on.
///
/// ```
/// use cspace_core::PauseHistogram;
/// use std::time::Duration;
///
/// let mut pauses = PauseHistogram::default();
/// (1..=100).for_each(|ms| pauses.note(Duration::from_millis(ms)));
/// assert_eq!(pauses.count(), 100);
/// let median = pauses.percentile(50.0);
/// assert!(median >= Duration::from_millis(50) && median < Duration::from_millis(71));
/// assert_eq!(pauses.percentile(100.0), pauses.longest());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PauseHistogram {
    counts: [u32; BUCKETS],
    longest: Duration,
}

impl Default for PauseHistogram {
    fn default() -> Self {
        PauseHistogram { counts: [0; BUCKETS], longest: Duration::ZERO }
    }
}

/// The bucket of a time: even ones begin at a power of two of microseconds, odd ones half way to the next.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let log = micros.ilog2() as usize;
    // Below two microseconds there is one bucket, the odd one.
    let is_upper_half = log == 0 || micros >> (log - 1) & 1 == 1;
    (2 * log + usize::from(is_upper_half)).min(BUCKETS - 1)
}

/// Where the bucket after this one begins.
fn end(bucket: usize) -> Duration {
    let next = bucket + 1;
    let power = Duration::from_micros(1 << (next / 2));
    if next % 2 == 1 {
        power + power / 2
    } else {
        power
    }
}

impl PauseHistogram {
    /// One pause more.
    pub fn note(&mut self, pause: Duration) {
        let count = &mut self.counts[bucket(pause)];
        *count = count.saturating_add(1);
        self.longest = self.longest.max(pause);
    }

    /// Adds the pauses of another histogram.
    pub fn add(&mut self, other: &PauseHistogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.longest = self.longest.max(other.longest);
    }

    /// How many pauses there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// How long `percent` of the pauses were at most, rounded up to the end of a step; no time if there were none.
    ///
    /// # Panics
    ///
    /// If `percent` is not from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Duration {
        assert!((0.0..=100.0).contains(&percent), "{percent} is no percentage");
        let wanted = (self.count() as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return end(bucket).min(self.longest);
            }
        }
        self.longest
    }

    /// The steps in which there were pauses: the time that they took less than, and how many there were.
    pub fn steps(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let steps = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        steps.map(|(bucket, count)| (end(bucket), u64::from(*count)))
    }
}

impl fmt::Debug for PauseHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PauseHistogram")
            .field("count", &self.count())
            .field("p50", &self.percentile(50.0))
            .field("p99", &self.percentile(99.0))
            .field("longest", &self.longest)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "5,000 times")]
    fn every_time_lies_before_the_end_of_its_step_and_after_the_one_before() {
        for micros in (1..5000).chain((0..23).map(|log| 5000 << log)) {
            let time = Duration::from_micros(micros);
            let at = bucket(time);
            if at < BUCKETS - 1 {
                assert!(time < end(at), "{time:?} in a step to {:?}", end(at));
            }
            assert!(at < 2 || time >= end(at - 1), "{time:?} in a step from {:?}", end(at - 1));
        }
        assert_eq!((bucket(Duration::ZERO), bucket(Duration::MAX)), (1, BUCKETS - 1));
    }

    #[test]
    #[cfg_attr(miri, ignore = "1,000 times")]
    fn percentiles_are_no_less_than_what_they_stand_for() {
        let (mut all, mut other) = (PauseHistogram::default(), PauseHistogram::default());
        assert_eq!((all.count(), all.percentile(99.0)), (0, Duration::ZERO));
        for i in 1..=1000 {
            if i % 2 == 0 { &mut all } else { &mut other }.note(Duration::from_micros(i));
        }
        all.add(&other);
        assert_eq!((all.count(), all.longest()), (1000, Duration::from_millis(1)));
        for percent in [1.0, 10.0, 50.0, 90.0, 99.0, 100.0] {
            let (exact, found) = (percent * 10.0, all.percentile(percent).as_micros() as f64);
            assert!(found >= exact && found <= exact * 1.51 + 1.0, "{percent} %: {found}");
        }
        assert_eq!(all.steps().map(|(_, count)| count).sum::<u64>(), 1000);
    }
}
