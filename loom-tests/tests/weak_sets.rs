//! Weak sets: mark bits read by a mutator until the filtered table replaces them ([`Epoch`]).
//!
//! The scene is that of `weak_set.rs` and `batch.rs`: a finish has made the set's table a source with
//! two entries, of which the mark found one alive. The collector builds the result, ends the epoch, and
//! sweeps, which clears the mark bits. A mutator searches meanwhile: it must find the living entry and
//! nothing else, whichever way it looks.

use cspace_core::protocol::{order_marks_after_epochs, Epoch};
use cspace_core::sync::{AtomicU8, Ordering::Relaxed};
use cspace_loom_tests::{play, spawn, Arc, Mutex, Plain};

trait EpochLike: Send + Sync + 'static {
    fn new() -> Self;
    fn has_ended(&self) -> bool;
    fn confirm(&self) -> bool;
    fn end(&self);
}

impl EpochLike for Epoch {
    fn new() -> Self {
        Epoch::new()
    }
    fn has_ended(&self) -> bool {
        self.has_ended()
    }
    fn confirm(&self) -> bool {
        self.confirm()
    }
    fn end(&self) {
        self.end();
    }
}

const EMPTY: u32 = 0;
/// The result of the filter: the table with the living entry alone.
const FILTERED: u32 = 1;

struct Set<E> {
    /// The mark bits of the two entries' objects: alive, dead.
    marks: [AtomicU8; 2],
    epoch: E,
    result: Plain,
    /// Whose cycle it is.
    claim: Mutex<()>,
}

/// The order of the collector's steps.
#[cfg_attr(not(cspace_loom), allow(dead_code, reason = "the wrong orders are for loom"))]
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Right,
    EndBeforeTheResult,
    SweepBeforeTheEnd,
}

impl<E: EpochLike> Set<E> {
    fn new() -> Arc<Self> {
        Arc::new(Set {
            marks: [AtomicU8::new(1), AtomicU8::new(0)],
            epoch: E::new(),
            result: Plain::new(EMPTY),
            claim: Mutex::new(()),
        })
    }

    fn filter_and_sweep(&self, order: Order) {
        let _claim = self.claim.lock().unwrap();
        match order {
            Order::Right => {
                self.result.write(FILTERED);
                self.epoch.end();
                self.marks[0].store(0, Relaxed);
            }
            Order::EndBeforeTheResult => {
                self.epoch.end();
                self.result.write(FILTERED);
                self.marks[0].store(0, Relaxed);
            }
            Order::SweepBeforeTheEnd => {
                self.result.write(FILTERED);
                self.marks[0].store(0, Relaxed);
                self.epoch.end();
            }
        }
    }

    /// The mutator's search, as `Filter::search` does it.
    fn assert_finds_the_living(&self) {
        // Each search that starts again has seen the epoch end, so the second time is the last.
        for _ in 0..2 {
            if self.epoch.has_ended() {
                assert_eq!(self.result.read(), FILTERED, "the result is not there yet");
                return;
            }
            let living = self.marks[0].load(Relaxed) != 0;
            if !self.epoch.confirm() {
                continue;
            }
            assert!(living, "a living entry was not found");
            let dead = self.marks[1].load(Relaxed) != 0;
            if !self.epoch.confirm() {
                continue;
            }
            assert!(!dead, "a dead entry was found");
            return;
        }
        assert!(self.epoch.has_ended(), "a search started again without a reason");
        assert_eq!(self.result.read(), FILTERED, "the result is not there yet");
    }
}

fn a_search_finds_what_lives<E: EpochLike>(order: Order) {
    play(move || {
        let set = Set::<E>::new();
        let collector = {
            let set = Arc::clone(&set);
            spawn(move || set.filter_and_sweep(order))
        };
        set.assert_finds_the_living();
        collector.join().unwrap();
    });
}

#[test]
fn a_search_beside_the_sweep_finds_what_lives() {
    a_search_finds_what_lives::<Epoch>(Order::Right);
}

/// Two searches, on two threads, of which each may see the epoch end.
#[test]
fn two_searches_beside_the_sweep_find_what_lives() {
    play(|| {
        let set = Set::<Epoch>::new();
        let others: Vec<_> = [true, false]
            .into_iter()
            .map(|collects| {
                let set = Arc::clone(&set);
                spawn(move || match collects {
                    true => set.filter_and_sweep(Order::Right),
                    false => set.assert_finds_the_living(),
                })
            })
            .collect();
        set.assert_finds_the_living();
        for other in others {
            other.join().unwrap();
        }
    });
}

/// The next cycle, on another thread, marks a new object where the dead one was, while the mutator is
/// still in the search that it began before.
fn a_search_survives_the_next_mark<E: EpochLike>(fence: bool) {
    play(move || {
        let set = Set::<E>::new();
        let first = {
            let set = Arc::clone(&set);
            spawn(move || set.filter_and_sweep(Order::Right))
        };
        let second = {
            let set = Arc::clone(&set);
            spawn(move || {
                let _claim = set.claim.lock().unwrap();
                // Only after the first cycle.
                if set.epoch.has_ended() {
                    if fence {
                        order_marks_after_epochs();
                    }
                    set.marks[1].store(1, Relaxed);
                }
            })
        };
        set.assert_finds_the_living();
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_search_that_outlasts_its_cycle_does_not_believe_the_next_mark() {
    a_search_survives_the_next_mark::<Epoch>(true);
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{fence, Ordering};

    /// [`Epoch`] with or without: the fence of `confirm`, the fence of `end`, the release of `end`.
    struct Weak<const CONFIRM: bool, const END: bool, const RELEASE: bool>(AtomicU8);

    impl<const CONFIRM: bool, const END: bool, const RELEASE: bool> EpochLike
        for Weak<CONFIRM, END, RELEASE>
    {
        fn new() -> Self {
            Weak(AtomicU8::new(0))
        }
        fn has_ended(&self) -> bool {
            self.0.load(Ordering::Acquire) != 0
        }
        fn confirm(&self) -> bool {
            if CONFIRM {
                fence(Ordering::Acquire);
            }
            self.0.load(Relaxed) == 0
        }
        fn end(&self) {
            self.0.store(1, if RELEASE { Ordering::Release } else { Relaxed });
            if END {
                fence(Ordering::Release);
            }
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        a_search_finds_what_lives::<Weak<true, true, true>>(Order::Right);
    }

    #[test]
    #[should_panic = "a living entry was not found"]
    fn confirming_without_the_fence_is_found_out() {
        a_search_finds_what_lives::<Weak<false, true, true>>(Order::Right);
    }

    #[test]
    #[should_panic = "a living entry was not found"]
    fn ending_without_the_fence_is_found_out() {
        a_search_finds_what_lives::<Weak<true, false, true>>(Order::Right);
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn ending_without_release_is_found_out() {
        a_search_finds_what_lives::<Weak<true, true, false>>(Order::Right);
    }

    #[test]
    #[should_panic = "a living entry was not found"]
    fn sweeping_before_the_end_is_found_out() {
        a_search_finds_what_lives::<Epoch>(Order::SweepBeforeTheEnd);
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn ending_before_the_result_is_there_is_found_out() {
        a_search_finds_what_lives::<Epoch>(Order::EndBeforeTheResult);
    }

    #[test]
    #[should_panic = "a dead entry was found"]
    fn marking_without_the_fence_is_found_out() {
        a_search_survives_the_next_mark::<Epoch>(false);
    }
}
