//! The protocol of arenas that are closed while others use them, apart from the memory, so that `loom-tests` can try
//! every interleaving of it.

use cspace_core::sync::{AtomicUsize, Ordering};

/// Who uses something that can be closed once, when nobody does.
///
/// - **P19 (kept).** Between a successful `acquire` and its `release` no `close` succeeds.
/// - **P20 (once).** Exactly one `close` succeeds; after it no `acquire` does, and everything that users did comes before
///   it.
#[derive(Debug, Default)]
pub struct CloseGate {
    /// How many users there are; [`CLOSED`] when it was closed.
    state: AtomicUsize,
}

const CLOSED: usize = usize::MAX;

/// Why something could not be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotClosed {
    /// It was before.
    AlreadyClosed,
    /// So many use it.
    Acquired(usize),
}

impl CloseGate {
    /// Open.
    pub fn new() -> CloseGate {
        CloseGate { state: AtomicUsize::new(0) }
    }

    /// One user more, unless it was closed.
    pub fn acquire(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            // So many cannot be; forgotten guards in a loop would get there.
            if state >= CLOSED - 1 {
                return false;
            }
            // ORDERING: Acquire is for what the memory was filled with before; a failed exchange only loads again.
            let exchanged = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
    }

    /// One user less.
    pub fn release(&self) {
        // ORDERING: Release: what this user did comes before the close that finds none (P20).
        self.state.fetch_sub(1, Ordering::Release);
    }

    /// Closes it.
    ///
    /// # Errors
    ///
    /// If it is in use, or was closed before.
    pub fn close(&self) -> Result<(), NotClosed> {
        // ORDERING: Acquire: of what all users did (P20); Release for those who find it closed.
        match self.state.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(CLOSED) => Err(NotClosed::AlreadyClosed),
            Err(users) => Err(NotClosed::Acquired(users)),
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }
}
