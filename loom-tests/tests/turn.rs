//! Turns in a pool ([`Turn`]): a member that is woken is served once more, by one thread at a time.
//!
//! The queue is a relaxed counter here, so that nothing but the turn orders what the threads do.

use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_gc::protocol::Turn;
use cspace_loom_tests::{play_bounded, spawn, Arc, Plain};

trait Place: Send + Sync + 'static {
    fn new() -> Self;
    fn wake(&self) -> bool;
    fn begin(&self);
    fn end(&self) -> bool;
}

impl Place for Turn {
    fn new() -> Self {
        Turn::new()
    }
    fn wake(&self) -> bool {
        self.wake()
    }
    fn begin(&self) {
        self.begin();
    }
    fn end(&self) -> bool {
        self.end()
    }
}

struct Member<P> {
    turn: P,
    queued: AtomicUsize,
    /// What is to be done; wakers add to it.
    wanted: AtomicUsize,
    /// Of the thread that serves.
    done: Plain,
}

impl<P: Place> Member<P> {
    fn want(&self) {
        // ORDERING: the turn is to order it before the service that the wake brings about.
        self.wanted.fetch_add(1, Relaxed);
        if self.turn.wake() {
            self.queued.fetch_add(1, Relaxed);
        }
    }

    /// Takes it from the queue if it is there, and serves it.
    fn serve(&self) {
        let taken = self.queued.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        if taken.is_err() {
            return;
        }
        self.turn.begin();
        let work = self.wanted.swap(0, Relaxed) as u32;
        self.done.write(self.done.read() + work);
        if self.turn.end() {
            self.queued.fetch_add(1, Relaxed);
        }
    }
}

/// Q5 and Q6: two threads that both wake and serve.
fn nothing_is_lost_and_nobody_serves_beside_another<P: Place>() {
    play_bounded(3, || {
        let member = Arc::new(Member {
            turn: P::new(),
            queued: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            done: Plain::new(0),
        });
        let other = {
            let member = Arc::clone(&member);
            spawn(move || {
                member.want();
                member.serve();
            })
        };
        member.want();
        member.serve();
        other.join().unwrap();
        while member.queued.load(Relaxed) > 0 {
            member.serve();
        }
        assert_eq!(member.done.read(), 2, "a wake was lost");
    });
}

#[test]
fn q5_s6_a_member_is_served_once_more_by_one_thread_at_a_time() {
    nothing_is_lost_and_nobody_serves_beside_another::<Turn>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{AtomicU8, Ordering};

    const IDLE: u8 = 0;
    const QUEUED: u8 = 1;
    const SERVED: u8 = 2;
    const AGAIN: u8 = 3;

    /// [`Turn`] without its orderings, or that forgets wakes during a service, or is served by whoever wakes it.
    struct Weak<const ORDERED: bool, const AGAIN_KEPT: bool, const ONE: bool>(AtomicU8);

    impl<const ORDERED: bool, const AGAIN_KEPT: bool, const ONE: bool> Place
        for Weak<ORDERED, AGAIN_KEPT, ONE>
    {
        fn new() -> Self {
            Weak(AtomicU8::new(IDLE))
        }
        fn wake(&self) -> bool {
            let ordering = if ORDERED { Ordering::AcqRel } else { Relaxed };
            let mut state = self.0.load(Relaxed);
            loop {
                let next = match state {
                    IDLE => QUEUED,
                    SERVED if !ONE => QUEUED,
                    SERVED => AGAIN,
                    _ => state,
                };
                match self.0.compare_exchange(state, next, ordering, Relaxed) {
                    Ok(_) => return next == QUEUED && state != QUEUED,
                    Err(now) => state = now,
                }
            }
        }
        fn begin(&self) {
            self.0.swap(SERVED, if ORDERED { Ordering::AcqRel } else { Relaxed });
        }
        fn end(&self) -> bool {
            let ordering = if ORDERED { Ordering::AcqRel } else { Relaxed };
            if !AGAIN_KEPT {
                self.0.swap(IDLE, ordering);
                return false;
            }
            if self.0.compare_exchange(SERVED, IDLE, ordering, Relaxed).is_ok() {
                return false;
            }
            self.0.swap(QUEUED, ordering) == AGAIN
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        nothing_is_lost_and_nobody_serves_beside_another::<Weak<true, true, true>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn relaxed_turns_are_found_out() {
        nothing_is_lost_and_nobody_serves_beside_another::<Weak<false, true, true>>();
    }

    #[test]
    #[should_panic = "a wake was lost"]
    fn forgetting_a_wake_during_a_service_is_found_out() {
        nothing_is_lost_and_nobody_serves_beside_another::<Weak<true, false, true>>();
    }

    #[test]
    #[should_panic]
    fn queueing_a_member_that_is_served_is_found_out() {
        nothing_is_lost_and_nobody_serves_beside_another::<Weak<true, true, false>>();
    }
}
