//! Waiting for collections ([`CycleCount`]): the scene of `wait_for_gc_after`.

use cspace_core::protocol::CycleCount;
use cspace_loom_tests::{play, spawn, Arc, Plain};

trait Count: Send + Sync + 'static {
    fn new() -> Self;
    fn complete(&self);
    fn wait_beyond(&self, n: u64) -> u64;
}

impl Count for CycleCount {
    fn new() -> Self {
        CycleCount::new()
    }
    fn complete(&self) {
        self.complete();
    }
    fn wait_beyond(&self, n: u64) -> u64 {
        self.wait_beyond(n, None).expect("it waits for ever")
    }
}

/// P10: two cycles are completed while one thread waits for the first and one for the second. A wake that is
/// lost is a deadlock.
fn whoever_waits_is_told<C: Count>() {
    play(|| {
        let shared = Arc::new((C::new(), Plain::new(0)));
        let waits = {
            let shared = Arc::clone(&shared);
            spawn(move || {
                assert!(shared.0.wait_beyond(0) > 0);
                assert_eq!(shared.1.read(), 1, "the count is seen before the cycle");
            })
        };
        shared.1.write(1);
        shared.0.complete();
        waits.join().unwrap();
        let completes = {
            let shared = Arc::clone(&shared);
            spawn(move || shared.0.complete())
        };
        assert_eq!(shared.0.wait_beyond(1), 2);
        completes.join().unwrap();
    });
}

#[test]
fn p10_whoever_waits_for_a_cycle_is_told_of_it() {
    whoever_waits_is_told::<CycleCount>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{AtomicU64, Condvar, Mutex, Ordering};
    use cspace_loom_tests::deadlocks;

    /// [`CycleCount`] that completes without the mutex, or with a relaxed count.
    struct Weak<const LOCKED: bool, const ORDERED: bool> {
        completed: AtomicU64,
        waiting: Mutex<()>,
        grown: Condvar,
    }

    impl<const LOCKED: bool, const ORDERED: bool> Count for Weak<LOCKED, ORDERED> {
        fn new() -> Self {
            Weak {
                completed: AtomicU64::new(0),
                waiting: Mutex::new(()),
                grown: Condvar::default(),
            }
        }
        fn complete(&self) {
            let ordering = if ORDERED { Ordering::Release } else { Ordering::Relaxed };
            let held = LOCKED.then(|| self.waiting.lock());
            self.completed.fetch_add(1, ordering);
            drop(held);
            self.grown.notify_all();
        }
        fn wait_beyond(&self, n: u64) -> u64 {
            // Looks before it takes the mutex, as the fast path of a reader would.
            let ordering = if ORDERED { Ordering::Acquire } else { Ordering::Relaxed };
            let count = self.completed.load(ordering);
            if count > n {
                return count;
            }
            let mut waiting = self.waiting.lock();
            loop {
                let count = self.completed.load(ordering);
                if count > n {
                    return count;
                }
                self.grown.wait(&mut waiting);
            }
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        whoever_waits_is_told::<Weak<true, true>>();
    }

    #[test]
    fn completing_without_the_mutex_is_found_out() {
        let test = "weakened::completing_without_the_mutex_is_found_out";
        assert!(deadlocks(test, whoever_waits_is_told::<Weak<false, true>>));
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_relaxed_count_is_found_out() {
        whoever_waits_is_told::<Weak<true, false>>();
    }
}
