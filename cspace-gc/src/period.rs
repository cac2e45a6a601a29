//! When a collection is due.

use std::time::{Duration, Instant};

/// How often a space is collected by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Period {
    /// Never for reasons of time.
    #[default]
    None,
    /// So long after the end of the last collection, if enough was allocated since.
    Every(Duration),
    /// One after the other without a pause, whatever was allocated: to shake out races.
    BackToBack,
}

/// Allocated since the last collection before time is a reason for one, in bytes.
const ALLOCATED_MIN: usize = 64 << 10;
/// The same as a share of what is alive: a cycle costs as much as is alive, and brings what was allocated.
const ALLOCATED_SHARE: usize = 8;
/// For each moment that writers were kept out, so many go by before time is a reason again.
const REST_PER_PAUSE: u32 = 3;

/// What is known when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) now: Instant,
    /// Requested, or the budget passed.
    pub(crate) is_wanted: bool,
    /// Bytes handed out since the last collection.
    pub(crate) allocated: usize,
    /// Bytes alive at the last collection.
    pub(crate) live: usize,
    /// Whether that may have left something that was dead.
    pub(crate) left_dead: bool,
}

impl Look {
    /// Whether another collection is worth it when the period is over: the last one left something, or enough was
    /// allocated since.
    fn is_worth_a_cycle(&self) -> bool {
        self.left_dead || self.allocated >= ALLOCATED_MIN.max(self.live / ALLOCATED_SHARE)
    }
}

/// When to look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// A collection is due.
    Now,
    /// Not before then, unless woken.
    At(Instant),
    /// Not before something is allocated, or a wake.
    OnAllocation,
    /// Not before a wake.
    WhenWoken,
}

/// What a driver remembers between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    ended: Instant,
    pause: Duration,
    /// What had been allocated when the period was last over.
    allocated: usize,
}

impl Timer {
    pub(crate) fn new(now: Instant) -> Timer {
        Timer { ended: now, pause: Duration::ZERO, allocated: 0 }
    }

    /// A collection has ended, which kept writers out for `pause`. Not a minor one: however many of those there are,
    /// what they leave is found when the period is over.
    pub(crate) fn note_cycle(&mut self, now: Instant, pause: Duration) {
        *self = Timer { ended: now, pause, allocated: 0 };
    }

    /// When the period is over. A time that the clock cannot say does not come.
    fn next(&self, every: Duration) -> Option<Instant> {
        self.ended.checked_add(every.max(self.pause.saturating_mul(REST_PER_PAUSE)))
    }

    /// Whether a collection is due by time, whatever else asks for one: then it is to find all that is dead.
    pub(crate) fn is_over(&self, period: Period, look: Look) -> bool {
        let Period::Every(every) = period else { return false };
        self.next(every).is_some_and(|next| look.now >= next) && look.is_worth_a_cycle()
    }

    /// When the next collection is due.
    pub(crate) fn due(&mut self, period: Period, look: Look) -> Due {
        if look.is_wanted {
            return Due::Now;
        }
        let every = match period {
            Period::None => return Due::WhenWoken,
            Period::BackToBack => return Due::Now,
            Period::Every(every) => every,
        };
        let Some(next) = self.next(every) else { return Due::WhenWoken };
        if look.now < next {
            return Due::At(next);
        }
        if look.is_worth_a_cycle() {
            return Due::Now;
        }
        if look.allocated == self.allocated {
            return Due::OnAllocation;
        }
        self.allocated = look.allocated;
        look.now.checked_add(every).map_or(Due::WhenWoken, Due::At)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn look(now: Instant, allocated: usize) -> Look {
        Look { now, is_wanted: false, allocated, live: 0, left_dead: false }
    }

    #[test]
    fn what_is_wanted_is_due_at_once() {
        let now = Instant::now();
        for period in [Period::None, Period::Every(Duration::MAX), Period::BackToBack] {
            let due = Timer::new(now).due(period, Look { is_wanted: true, ..look(now, 0) });
            assert_eq!(due, Due::Now);
        }
    }

    #[test]
    fn without_a_period_only_a_wake_counts() {
        let now = Instant::now();
        assert_eq!(
            Timer::new(now).due(Period::None, look(now + 1000 * MS, 1 << 30)),
            Due::WhenWoken
        );
    }

    #[test]
    fn back_to_back_is_always_due() {
        let now = Instant::now();
        assert_eq!(Timer::new(now).due(Period::BackToBack, look(now, 0)), Due::Now);
    }

    #[test]
    fn a_period_is_counted_from_the_end_of_the_last_collection() {
        let (start, every) = (Instant::now(), Period::Every(10 * MS));
        let mut timer = Timer::new(start);
        assert_eq!(timer.due(every, look(start + 4 * MS, 1 << 20)), Due::At(start + 10 * MS));
        assert_eq!(timer.due(every, look(start + 10 * MS, 1 << 20)), Due::Now);
        timer.note_cycle(start + 15 * MS, MS);
        assert_eq!(timer.due(every, look(start + 20 * MS, 1 << 20)), Due::At(start + 25 * MS));
    }

    #[test]
    fn a_space_that_allocates_nothing_sleeps_and_one_that_allocates_little_waits() {
        let (start, every) = (Instant::now(), Period::Every(10 * MS));
        let mut timer = Timer::new(start);
        let later = start + 10 * MS;
        assert_eq!(timer.due(every, look(later, 0)), Due::OnAllocation);
        assert_eq!(timer.due(every, look(later, 500)), Due::At(later + 10 * MS));
        // Nothing came to it since: asleep until something does.
        assert_eq!(timer.due(every, look(later + 10 * MS, 500)), Due::OnAllocation);
        assert_eq!(timer.due(every, look(later + 10 * MS, ALLOCATED_MIN)), Due::Now);
    }

    #[test]
    fn much_that_is_alive_asks_for_as_much_to_be_allocated() {
        let (start, every) = (Instant::now(), Period::Every(MS));
        let mut timer = Timer::new(start);
        let at = |allocated| Look { live: 80 << 20, ..look(start + MS, allocated) };
        assert_eq!(timer.due(every, at(1 << 20)), Due::At(start + 2 * MS));
        assert_eq!(timer.due(every, at(10 << 20)), Due::Now);
    }

    #[test]
    fn long_pauses_are_followed_by_longer_rests() {
        let (start, every) = (Instant::now(), Period::Every(MS));
        let mut timer = Timer::new(start);
        timer.note_cycle(start, 20 * MS);
        assert_eq!(timer.due(every, look(start + 30 * MS, 1 << 30)), Due::At(start + 60 * MS));
        assert_eq!(timer.due(every, look(start + 60 * MS, 1 << 30)), Due::Now);
    }

    #[test]
    fn what_minor_collections_leave_is_due_when_the_period_is_over() {
        let (start, every) = (Instant::now(), Period::Every(10 * MS));
        let mut timer = Timer::new(start);
        let minor = |at, is_wanted| Look { left_dead: true, is_wanted, ..look(at, 0) };
        assert_eq!(timer.due(every, minor(start + 9 * MS, false)), Due::At(start + 10 * MS));
        assert_eq!(timer.due(every, minor(start + 10 * MS, false)), Due::Now);
        // Nor is it a minor one if that is wanted at the same time.
        assert!(!timer.is_over(every, minor(start + 9 * MS, true)));
        assert!(timer.is_over(every, minor(start + 10 * MS, true)));
        assert!(!timer.is_over(every, look(start + 10 * MS, 0)));
        assert!(timer.is_over(every, look(start + 10 * MS, ALLOCATED_MIN)));
        assert!(!timer.is_over(Period::None, minor(start + 10 * MS, true)));
        timer.note_cycle(start + 11 * MS, MS);
        assert!(!timer.is_over(every, minor(start + 20 * MS, true)));
    }

    #[test]
    fn a_period_beyond_the_clock_never_comes() {
        let start = Instant::now();
        let due = Timer::new(start).due(Period::Every(Duration::MAX), look(start, 1 << 30));
        assert_eq!(due, Due::WhenWoken);
    }
}
