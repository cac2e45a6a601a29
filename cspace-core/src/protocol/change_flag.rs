//! Whether anything changed since the last cycle that finds all that is dead, and who wakes whoever waits for that.

use crate::sync::{AtomicU8, Ordering};

const CHANGED: u8 = 0;
const UNCHANGED: u8 = 1;
const ASLEEP: u8 = 2;

/// Whether a cycle by time has anything to find. One load for those who change something again and again.
///
/// ```text
/// changed ──begin_cycle──> unchanged ──sleep──> asleep
///    ^                         │                  │
///    └───────── note ──────────┴────── note ──────┘   (this one is to wake the sleeper)
/// ```
///
/// The load in `note` is relaxed, so it may be of a time before the last `begin_cycle`. That does no harm where what
/// was changed and the cycle's look at it are ordered by a lock: whoever changes something *notes it with the lock
/// held under which the cycle looks*, and the cycle *begins before it takes that lock*. Then either the cycle sees
/// the change, or the note sees the cycle's beginning.
/// Who has no such lock, as the last handle of a root, has a sequentially consistent fence between the change and the
/// note, as the cycle has between its beginning and its look.
///
/// - **P23 (noticed).** A change that a cycle did not see is noted after its beginning: the flag says so.
/// - **P24 (woken).** After a [`sleep`](ChangeFlag::sleep) that returned true the first note returns true, and none
///   before it was missed.
#[derive(Debug)]
pub struct ChangeFlag(AtomicU8);

impl ChangeFlag {
    /// Nothing changed yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> ChangeFlag {
        ChangeFlag(AtomicU8::new(UNCHANGED))
    }

    /// Something changed. True if the caller is to wake whoever sleeps.
    #[inline(always)]
    #[must_use]
    pub fn note(&self) -> bool {
        self.0.load(Ordering::Relaxed) != CHANGED && self.note_slow()
    }

    #[cold]
    #[inline(never)]
    fn note_slow(&self) -> bool {
        // ORDERING: a swap: of it and the exchange in `sleep` the second sees the first (P24). Release: who sees the
        // flag sees what was changed.
        self.0.swap(CHANGED, Ordering::AcqRel) == ASLEEP
    }

    /// A cycle begins that finds whatever was changed until now. By the collector, before it looks at anything.
    pub fn begin_cycle(&self) {
        // From no other state: who is asleep stays asleep. Acquire: with the note that it takes away.
        let _ = self.0.compare_exchange(CHANGED, UNCHANGED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether anything was noted since the last cycle began.
    pub fn is_changed(&self) -> bool {
        self.0.load(Ordering::Acquire) == CHANGED
    }

    /// Sleeps until something changes: true. False if something did.
    #[must_use]
    pub fn sleep(&self) -> bool {
        let asleep =
            self.0.compare_exchange(UNCHANGED, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
        asleep != Err(CHANGED)
    }
}
