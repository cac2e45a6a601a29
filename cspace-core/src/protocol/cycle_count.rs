//! How many cycles were completed, and waiting for more.

use std::time::Instant;

use crate::sync::{AtomicU64, Condvar, Mutex, Ordering};

/// A count that only grows, and can be waited for.
///
/// - **P10 (told).** Whoever waits for more than `n` is woken by the completion of cycle `n + 1`, if it is
///   not past that already.
#[derive(Debug)]
pub struct CycleCount {
    /// Written under the mutex, read without.
    completed: AtomicU64,
    waiting: Mutex<()>,
    grown: Condvar,
}

impl CycleCount {
    /// No cycle yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> CycleCount {
        CycleCount {
            completed: AtomicU64::new(0),
            waiting: Mutex::new(()),
            grown: Condvar::default(),
        }
    }

    /// How many cycles were completed.
    pub fn get(&self) -> u64 {
        self.completed.load(Ordering::Acquire)
    }

    /// One more; returns its number, from 1.
    pub fn complete(&self) -> u64 {
        // Under the mutex: a waiter that read the count before is waiting when it is notified (P10).
        let waiting = self.waiting.lock();
        // ORDERING: Release: who sees the count sees what the cycle did.
        let number = self.completed.fetch_add(1, Ordering::Release) + 1;
        drop(waiting);
        self.grown.notify_all();
        number
    }

    /// Waits until more than `n` were completed, at most until `deadline` (none: for ever); returns the
    /// count if there were.
    pub fn wait_beyond(&self, n: u64, deadline: Option<Instant>) -> Option<u64> {
        let mut waiting = self.waiting.lock();
        loop {
            let count = self.get();
            if count > n {
                return Some(count);
            }
            match deadline {
                None => self.grown.wait(&mut waiting),
                Some(deadline) => {
                    if self.grown.wait_until(&mut waiting, deadline).timed_out() {
                        let count = self.get();
                        return (count > n).then_some(count);
                    }
                }
            }
        }
    }
}
