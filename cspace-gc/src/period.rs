//! When a collection is due.

use std::time::{Duration, Instant};

/// How often a space is collected by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Period {
    /// Never for reasons of time.
    #[default]
    None,
    /// So long after the end of the last collection, if anything changed since it began.
    Every(Duration),
    /// One after the other without a pause, whatever changed: to shake out races.
    BackToBack,
}

/// The settings that say when a collection is due by time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Pace {
    pub(crate) period: Period,
    /// The part of a core that collections by time may take, from 0 to 1.
    pub(crate) share: f64,
}

/// What [`Pace::share`] is if nothing else is said.
pub(crate) const SHARE: f64 = 0.1;
/// A collection that costs much is put off by so many periods at most.
const PUT_OFF_PERIODS: u32 = 10;

impl Pace {
    pub(crate) fn new(period: Option<Duration>, share: f64) -> Pace {
        Pace { period: Period::from(period), share: share_of(share) }
    }

    /// How long after the end of a collection that took so much the next one is due.
    fn wait(&self, every: Duration, cost: Duration) -> Duration {
        // If a collection takes the whole share, so many times its cost goes by without one.
        let rest = (1.0 / self.share - 1.0) * cost.as_secs_f64();
        let longest = every.saturating_mul(PUT_OFF_PERIODS);
        // Without a share, or beyond what can be said, it is more than any period.
        Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX).min(longest).max(every)
    }
}

/// A share that makes sense: what is not a number is none.
pub(crate) fn share_of(share: f64) -> f64 {
    if share.is_nan() {
        0.0
    } else {
        share.clamp(0.0, 1.0)
    }
}

/// What is known when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) now: Instant,
    /// Requested, or the budget passed.
    pub(crate) is_wanted: bool,
    /// Whether another collection may find something dead, or too much: what one left that was minor or marked in
    /// increments, or what changed since the last other one began.
    pub(crate) has_changed: bool,
    /// When the last collection ended that was not minor, and what it cost.
    pub(crate) last: Option<(Instant, Duration)>,
}

/// When to look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A collection is due.
    Now,
    /// Not before then, unless woken.
    At(Instant),
    /// Not before something changes, or a wake.
    WhenChanged,
    /// Not before a wake.
    WhenWoken,
}

/// What a driver remembers between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    /// When it began: the first period is counted from there.
    begun: Instant,
}

impl Timer {
    pub(crate) fn new(now: Instant) -> Timer {
        Timer { begun: now }
    }

    /// When the period is over. A time that the clock cannot say does not come. Minor collections do not put it off:
    /// however many of those there are, what they leave is found then.
    fn next(&self, pace: Pace, every: Duration, look: &Look) -> Option<Instant> {
        let (ended, cost) = look.last.unwrap_or((self.begun, Duration::ZERO));
        ended.checked_add(pace.wait(every, cost))
    }

    /// Whether a collection is due by time, whatever else asks for one: then it is to find all that is dead.
    pub(crate) fn is_over(&self, pace: Pace, look: &Look) -> bool {
        let Period::Every(every) = pace.period else { return false };
        look.has_changed && self.next(pace, every, look).is_some_and(|next| look.now >= next)
    }

    /// When the next collection is due.
    pub(crate) fn due(&self, pace: Pace, look: &Look) -> Due {
        if look.is_wanted {
            return Due::Now;
        }
        let every = match pace.period {
            Period::None => return Due::WhenWoken,
            Period::BackToBack => return Due::Now,
            Period::Every(every) => every,
        };
        match self.next(pace, every, look) {
            None => Due::WhenWoken,
            Some(next) if look.now < next => Due::At(next),
            Some(_) if look.has_changed => Due::Now,
            Some(_) => Due::WhenChanged,
        }
    }
}

impl From<Option<Duration>> for Period {
    fn from(period: Option<Duration>) -> Period {
        match period {
            None => Period::None,
            Some(Duration::ZERO) => Period::BackToBack,
            Some(every) => Period::Every(every),
        }
    }
}

impl From<Period> for Option<Duration> {
    fn from(period: Period) -> Option<Duration> {
        match period {
            Period::None => None,
            Period::BackToBack => Some(Duration::ZERO),
            Period::Every(every) => Some(every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn every(period: Duration) -> Pace {
        Pace { period: Period::Every(period), share: SHARE }
    }

    fn look(now: Instant, has_changed: bool) -> Look {
        Look { now, is_wanted: false, has_changed, last: None }
    }

    /// As seen after a collection that ended then and took so long.
    fn after(last: (Instant, Duration), now: Instant) -> Look {
        Look { last: Some(last), ..look(now, true) }
    }

    #[test]
    fn what_is_wanted_is_due_at_once() {
        let now = Instant::now();
        for period in [Period::None, Period::Every(Duration::MAX), Period::BackToBack] {
            let wanted = Look { is_wanted: true, ..look(now, false) };
            let due = Timer::new(now).due(Pace { period, share: SHARE }, &wanted);
            assert_eq!(due, Due::Now);
        }
    }

    #[test]
    fn without_a_period_only_a_wake_counts() {
        let now = Instant::now();
        let pace = Pace { period: Period::None, share: SHARE };
        assert_eq!(Timer::new(now).due(pace, &look(now + 1000 * MS, true)), Due::WhenWoken);
    }

    #[test]
    fn back_to_back_is_always_due() {
        let now = Instant::now();
        let pace = Pace { period: Period::BackToBack, share: SHARE };
        assert_eq!(Timer::new(now).due(pace, &look(now, false)), Due::Now);
    }

    #[test]
    fn a_period_is_counted_from_the_end_of_the_last_collection_whoever_ran_it() {
        let (start, pace) = (Instant::now(), every(10 * MS));
        let timer = Timer::new(start);
        assert_eq!(timer.due(pace, &look(start + 4 * MS, true)), Due::At(start + 10 * MS));
        assert_eq!(timer.due(pace, &look(start + 10 * MS, true)), Due::Now);
        let last = (start + 15 * MS, MS / 2);
        assert_eq!(timer.due(pace, &after(last, start + 20 * MS)), Due::At(start + 25 * MS));
        assert_eq!(timer.due(pace, &after(last, start + 25 * MS)), Due::Now);
        // A driver that came later goes by it too.
        let late = Timer::new(start + 24 * MS);
        assert_eq!(late.due(pace, &after(last, start + 25 * MS)), Due::Now);
    }

    #[test]
    fn a_space_that_does_not_change_sleeps_and_one_change_is_enough() {
        let (start, pace) = (Instant::now(), every(10 * MS));
        let timer = Timer::new(start);
        let later = start + 10 * MS;
        assert_eq!(timer.due(pace, &look(start, false)), Due::At(later));
        assert_eq!(timer.due(pace, &look(later, false)), Due::WhenChanged);
        assert!(!timer.is_over(pace, &look(later, false)));
        assert_eq!(timer.due(pace, &look(later + 1000 * MS, true)), Due::Now);
    }

    #[test]
    fn collections_by_time_take_a_tenth_of_a_core() {
        let (start, pace) = (Instant::now(), every(10 * MS));
        let due = |cost| Timer::new(start).due(pace, &after((start, cost), start));
        assert_eq!(due(Duration::ZERO), Due::At(start + 10 * MS));
        assert_eq!(due(MS), Due::At(start + 10 * MS));
        let Due::At(put_off) = due(4 * MS) else { panic!("due now") };
        // Nine times its cost, as far as floats can say.
        let rest = put_off - start;
        assert!(rest > 36 * MS - MS / 1000 && rest < 36 * MS + MS / 1000, "{rest:?}");
        // By ten periods at most, else what is dead would stay for ever beside a large heap.
        assert_eq!(due(40 * MS), Due::At(start + 100 * MS));
        assert_eq!(due(Duration::MAX), Due::At(start + 100 * MS));
    }

    #[test]
    fn the_share_is_a_setting() {
        let (start, last) = (Instant::now(), Duration::from_millis(40));
        let due = |share| {
            let pace = Pace::new(Some(10 * MS), share);
            Timer::new(start).due(pace, &after((start, last), start))
        };
        // A whole core: nothing is put off.
        assert_eq!(due(1.0), Due::At(start + 10 * MS));
        assert_eq!(due(7.0), Due::At(start + 10 * MS));
        assert_eq!(due(0.5), Due::At(start + 40 * MS));
        for none in [0.0, -1.0, f64::NAN, f64::MIN_POSITIVE] {
            assert_eq!(due(none), Due::At(start + 100 * MS), "{none}");
        }
    }

    #[test]
    fn what_minor_collections_leave_is_due_when_the_period_is_over() {
        let (start, pace) = (Instant::now(), every(10 * MS));
        let timer = Timer::new(start);
        // The flag stays up: a minor one takes nothing back.
        let minor = |at, is_wanted| Look { is_wanted, ..look(at, true) };
        assert_eq!(timer.due(pace, &minor(start + 9 * MS, false)), Due::At(start + 10 * MS));
        assert_eq!(timer.due(pace, &minor(start + 10 * MS, false)), Due::Now);
        // Nor is it a minor one if that is wanted at the same time.
        assert!(!timer.is_over(pace, &minor(start + 9 * MS, true)));
        assert!(timer.is_over(pace, &minor(start + 10 * MS, true)));
        let none = Pace { period: Period::None, share: SHARE };
        assert!(!timer.is_over(none, &minor(start + 10 * MS, true)));
        assert!(!timer.is_over(pace, &after((start + 11 * MS, MS), start + 20 * MS)));
    }

    #[test]
    fn a_period_beyond_the_clock_never_comes() {
        let start = Instant::now();
        let due = |last| {
            let look = Look { last, ..look(start, true) };
            Timer::new(start).due(every(Duration::MAX), &look)
        };
        assert_eq!(due(None), Due::WhenWoken);
        assert_eq!(due(Some((start, Duration::MAX))), Due::WhenWoken);
        assert_eq!(due(Some((start, Duration::ZERO))), Due::WhenWoken);
    }
}
