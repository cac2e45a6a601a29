//! Whose turn it is in a pool: a member that is woken is served once more, by one thread at a time.

use cspace_core::sync::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const SERVED: u8 = 2;
const AGAIN: u8 = 3;

/// A member's place between being woken and being served.
///
/// - **Q5 (one).** Between `begin` and `end` no other thread serves the member: it is in the queue at most once,
///   and not while it is served.
/// - **Q6 (again).** A wake during or before a service is followed by a service that begins after it, or is
///   in the queue.
#[derive(Debug)]
pub struct Turn(AtomicU8);

impl Turn {
    /// Nobody has woken it.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Turn {
        Turn(AtomicU8::new(IDLE))
    }

    /// The member is woken; true if the caller must put it into the queue.
    pub fn wake(&self) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            let next = match state {
                IDLE => QUEUED,
                SERVED => AGAIN,
                _ => {
                    // ORDERING: Release, though nothing changes: the service that is still to come sees what
                    // the waker did before (Q6).
                    state
                }
            };
            match self.0.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return state == IDLE,
                Err(now) => state = now,
            }
        }
    }

    /// A thread took the member from the queue and serves it.
    pub fn begin(&self) {
        // ORDERING: AcqRel: what wakers did before their wake is seen by this service (Q6).
        let was = self.0.swap(SERVED, Ordering::AcqRel);
        debug_assert_eq!(was, QUEUED);
    }

    /// The thread is done with it; true if the caller must put it into the queue again.
    pub fn end(&self) -> bool {
        // ORDERING: AcqRel: what this service did is seen by the next one (Q5).
        if self.0.compare_exchange(SERVED, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return false;
        }
        self.0.store(QUEUED, Ordering::Release);
        true
    }
}
