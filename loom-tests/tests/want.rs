//! Requests and hand-over: the flag that brings mutators to a safepoint ([`Want`]).
//!
//! The scene is that of `space.rs`: threads that want something write the reason down and raise the flag; the
//! holder of the lock lowers it when it settles; a cycle serves the requests made before it begins.

use cspace_core::protocol::Want;
use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play, spawn, Arc};

trait Flag: Send + Sync + 'static {
    fn new() -> Self;
    fn request(&self);
    fn begin_wait(&self);
    fn end_wait(&self);
    fn settle(&self);
    fn serve(&self);
    fn is_raised(&self) -> bool;
    fn is_requested(&self) -> bool;
}

impl Flag for Want {
    fn new() -> Self {
        Want::new(false)
    }
    fn request(&self) {
        self.request();
    }
    fn begin_wait(&self) {
        self.begin_wait();
    }
    fn end_wait(&self) {
        self.end_wait();
    }
    fn settle(&self) {
        self.settle(|| false);
    }
    fn serve(&self) {
        self.serve();
    }
    fn is_raised(&self) -> bool {
        self.is_raised()
    }
    fn is_requested(&self) -> bool {
        self.is_requested()
    }
}

/// P5: somebody asks for a collection, another thread waits for the lock, and the holder settles.
fn a_reason_keeps_the_flag_up<F: Flag>() {
    play(|| {
        let flag = Arc::new(F::new());
        let asks = {
            let flag = Arc::clone(&flag);
            spawn(move || flag.request())
        };
        let waits = {
            let flag = Arc::clone(&flag);
            spawn(move || flag.begin_wait())
        };
        flag.settle();
        asks.join().unwrap();
        waits.join().unwrap();
        assert!(flag.is_raised(), "a reason without the flag");
        flag.serve();
        flag.settle();
        assert!(flag.is_raised(), "a waiter without the flag");
        flag.end_wait();
        flag.settle();
        assert!(!flag.is_raised(), "the flag without a reason");
    });
}

/// P6: what was garbage when a request was made is seen by the cycle that takes the request away.
fn a_request_is_served_by_a_later_cycle<F: Flag>(serve_first: bool) {
    play(move || {
        let shared = Arc::new((F::new(), AtomicUsize::new(0)));
        let asks = {
            let shared = Arc::clone(&shared);
            spawn(move || {
                shared.1.store(1, Relaxed);
                shared.0.request();
            })
        };
        let seen;
        if serve_first {
            shared.0.serve();
            seen = shared.1.load(Relaxed);
        } else {
            seen = shared.1.load(Relaxed);
            shared.0.serve();
        }
        asks.join().unwrap();
        assert!(shared.0.is_requested() || seen == 1, "a request was lost");
    });
}

#[test]
fn p5_a_reason_that_comes_while_the_holder_settles_keeps_the_flag_up() {
    a_reason_keeps_the_flag_up::<Want>();
}

#[test]
fn p6_a_request_is_taken_away_by_a_cycle_that_begins_after_it() {
    a_request_is_served_by_a_later_cycle::<Want>(true);
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

    /// [`Want`] with its steps in another order, or with stores where it swaps.
    struct Weak<const LOWER_FIRST: bool, const WRITE_FIRST: bool, const SWAPS: bool> {
        raised: AtomicBool,
        requested: AtomicBool,
        waiters: AtomicUsize,
    }

    impl<const L: bool, const W: bool, const S: bool> Weak<L, W, S> {
        fn set(&self, flag: &AtomicBool, value: bool) {
            if S {
                flag.swap(value, AcqRel);
            } else {
                flag.store(value, Release);
            }
        }
    }

    impl<const L: bool, const W: bool, const S: bool> Flag for Weak<L, W, S> {
        fn new() -> Self {
            Weak {
                raised: AtomicBool::new(false),
                requested: AtomicBool::new(false),
                waiters: AtomicUsize::new(0),
            }
        }
        fn request(&self) {
            if W {
                self.set(&self.requested, true);
                self.set(&self.raised, true);
            } else {
                self.set(&self.raised, true);
                self.set(&self.requested, true);
            }
        }
        fn begin_wait(&self) {
            self.waiters.fetch_add(1, AcqRel);
            self.set(&self.raised, true);
        }
        fn end_wait(&self) {
            self.waiters.fetch_sub(1, AcqRel);
        }
        fn settle(&self) {
            let reasons = || self.requested.load(Acquire) || self.waiters.load(Acquire) > 0;
            if L {
                self.set(&self.raised, false);
                if reasons() {
                    self.set(&self.raised, true);
                }
            } else {
                let reasons = reasons();
                self.set(&self.raised, reasons);
            }
        }
        fn serve(&self) {
            self.set(&self.requested, false);
        }
        fn is_raised(&self) -> bool {
            self.raised.load(Relaxed)
        }
        fn is_requested(&self) -> bool {
            self.requested.load(Acquire)
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        a_reason_keeps_the_flag_up::<Weak<true, true, true>>();
        a_request_is_served_by_a_later_cycle::<Weak<true, true, true>>(true);
    }

    #[test]
    #[should_panic = "a reason without the flag"]
    fn looking_for_reasons_before_lowering_is_found_out() {
        a_reason_keeps_the_flag_up::<Weak<false, true, true>>();
    }

    #[test]
    #[should_panic = "a reason without the flag"]
    fn raising_before_the_reason_is_written_down_is_found_out() {
        /// One thread asks and nobody waits: the other reason would hide it.
        fn scene() {
            play(|| {
                let flag = Arc::new(Weak::<true, false, true>::new());
                let asks = {
                    let flag = Arc::clone(&flag);
                    spawn(move || flag.request())
                };
                flag.settle();
                asks.join().unwrap();
                assert!(flag.is_raised(), "a reason without the flag");
            });
        }
        scene();
    }

    #[test]
    #[should_panic = "a request was lost"]
    fn serving_without_reading_the_request_is_found_out() {
        a_request_is_served_by_a_later_cycle::<Weak<true, true, false>>(true);
    }

    #[test]
    #[should_panic = "a reason without the flag"]
    fn lowering_without_reading_the_raise_is_found_out() {
        a_reason_keeps_the_flag_up::<Weak<true, true, false>>();
    }

    #[test]
    #[should_panic = "a request was lost"]
    fn serving_at_the_end_of_a_cycle_is_found_out() {
        a_request_is_served_by_a_later_cycle::<Want>(false);
    }
}
