//! What was decided about an evictable object while readers look at it, and how one of them takes it back.
//!
//! A cycle chooses its victims beside readers and condemns them later, when nobody has access. In between a
//! victim is whole, and a reader that asks for it *rescues* it. Nothing is done for a victim in the finish: that
//! the cycle's number is no longer pending makes all of its victims gone at once.
//!
//! ```text
//! fate         pending
//! 0            any       kept: nothing was decided, or it was taken back
//! n            n         chosen by the cycle that is under way; whole until that cycle condemns
//! n            other     gone, if the fate is still n when it is read again; else look again
//! ```
//!
//! Numbers are never used twice in a process, so a fate from another space (after a merge) is gone too.

use crate::sync::{AtomicU64, Mutex, Ordering};

/// What was decided about one object.
#[derive(Debug)]
pub struct Fate(AtomicU64);

impl Fate {
    /// Nothing yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Fate {
        Fate(AtomicU64::new(0))
    }

    /// The number of the cycle that chose the object as a victim; 0 if none did.
    pub fn chosen_by(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// How an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No cycle chose it.
    Kept,
    /// The cycle of this number, which is under way, did.
    Chosen(u64),
    /// A cycle that is over did.
    Gone,
}

/// The decisions of a space's cycles. `T` names an object.
///
/// - **P14 (whole).** What a reader was told to be kept or chosen, or rescued, is not condemned while the reader's
///   access lasts; what it rescued is taken as such before the cycle condemns.
/// - **P15 (final).** What a reader was told to be gone, no reader gets again: it was chosen by a cycle that
///   condemned.
/// - **P16 (taken back).** A cycle that is given up leaves every fate at 0 and nothing rescued.
#[derive(Debug)]
pub struct Verdicts<T> {
    /// The cycle that chooses; 0 if none does. Written by the collector: set before its first choice, taken back
    /// in its finish or, after the fates, when it is given up.
    pending: AtomicU64,
    /// What readers took back. A fate goes from chosen to kept under this mutex alone (P16).
    rescued: Mutex<Vec<T>>,
}

impl<T: Copy> Verdicts<T> {
    /// No decision yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Verdicts<T> {
        Verdicts { pending: AtomicU64::new(0), rescued: Mutex::new(Vec::new()) }
    }

    /// A cycle is about to choose, under a number that was never used. By the collector.
    pub fn begin(&self, number: u64) {
        // Ordered before the fates by their Release.
        self.pending.store(number, Ordering::Relaxed);
    }

    /// Makes an object that is kept a victim of the cycle. By the collector.
    pub fn choose(&self, fate: &Fate, number: u64) {
        // ORDERING: Release: who reads the fate sees that its cycle is pending, and does not take the object for
        // gone (P15).
        fate.0.store(number, Ordering::Release);
    }

    /// How an object stands. By a reader, in its access.
    #[inline]
    pub fn standing(&self, fate: &Fate) -> Standing {
        loop {
            // ORDERING: Acquire pairs with `choose`.
            let chosen = fate.0.load(Ordering::Acquire);
            if chosen == 0 {
                return Standing::Kept;
            }
            // ORDERING: Acquire pairs with `give_up`: who sees that the cycle is not pending any more sees the
            // fate that was taken back before.
            if self.pending.load(Ordering::Acquire) == chosen {
                return Standing::Chosen(chosen);
            }
            if fate.0.load(Ordering::Relaxed) == chosen {
                return Standing::Gone;
            }
        }
    }

    /// Takes a victim back if it is one; false if it is gone. By a reader, in its access.
    #[inline]
    pub fn rescue(&self, fate: &Fate, object: T) -> bool {
        loop {
            match self.standing(fate) {
                Standing::Kept => return true,
                Standing::Gone => return false,
                Standing::Chosen(number) => {
                    // Both under the mutex: a cycle that is given up in between would leave the object among the
                    // next one's rescued (P16).
                    let mut rescued = self.rescued.lock();
                    let taken =
                        fate.0.compare_exchange(number, 0, Ordering::AcqRel, Ordering::Relaxed);
                    if taken.is_ok() {
                        rescued.push(object);
                        return true;
                    }
                }
            }
        }
    }

    /// Takes a victim back as another reference to its object was rescued. By the collector, before the cycle condemns.
    pub fn take_back(&self, fate: &Fate) {
        let _rescued = self.rescued.lock();
        // A reader that reads it before sees a victim of a cycle that is pending, and may rescue it too.
        fate.0.store(0, Ordering::Relaxed);
    }

    /// What was rescued since the last call. By the collector: now and then, and in the finish.
    pub fn take_rescued(&self) -> Vec<T> {
        core::mem::take(&mut *self.rescued.lock())
    }

    /// The cycle condemns: its victims are gone. In the finish, after the rescued were taken.
    pub fn end(&self) {
        // Nobody has access: the lock orders it before what readers do next.
        self.pending.store(0, Ordering::Relaxed);
    }

    /// The cycle is given up. Takes the fates of all of its victims back. By the collector.
    pub fn give_up<'a>(&self, victims: impl Iterator<Item = &'a Fate>) {
        let mut rescued = self.rescued.lock();
        for fate in victims {
            fate.0.store(0, Ordering::Relaxed);
        }
        // ORDERING: Release, with `standing`: the fates first.
        self.pending.store(0, Ordering::Release);
        rescued.clear();
    }
}
