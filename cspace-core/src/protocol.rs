//! The protocols that run outside of the space's lock, each one small structure.
//!
//! They take their atomics and locks from [`crate::sync`], so `loom-tests` tries every interleaving of
//! them.

mod change_flag;
mod cleanups;
mod collector_handles;
mod cycle_count;
mod cycle_gate;
mod fate;
mod forwarding;
mod heap_bytes;
mod successors;
mod want;

pub use change_flag::ChangeFlag;
pub use cleanups::{Cleanup, Cleanups, OnceAction};
pub use collector_handles::{Closing, CollectorHandles, Others};
pub use cycle_count::CycleCount;
pub use cycle_gate::CycleGate;
pub use fate::{Fate, Standing, Verdicts};
pub use forwarding::Forwarding;
pub use heap_bytes::HeapBytes;
pub use successors::Successors;
pub use want::Want;

use crate::sync::{fence, AtomicU8, AtomicUsize, Ordering};

/// How many handles a root entry has, and how many users a segment of entries: its table, and each entry that has
/// handles.
///
/// - **P1 (live).** While a handle exists the count is above zero, so a collection that reads the
///   count after the handle was made (ordered by the lock, or by the table's mutex) traces the root.
/// - **P2 (last).** Exactly one release finds itself the last, and everything that other handles
///   did happens before it.
#[derive(Debug)]
pub struct HandleCount(AtomicUsize);

/// The count at which a clone gives up: `mem::forget` in a loop must not wrap to zero.
const COUNT_MAX: usize = isize::MAX as usize;

impl HandleCount {
    /// No handle yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> HandleCount {
        HandleCount(AtomicUsize::new(0))
    }

    /// Makes the entry live, with one handle. By the thread that owns the free entry.
    pub fn begin(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// One more handle, made from one that exists.
    pub fn acquire(&self) {
        // ORDERING: Relaxed is enough, the existing handle keeps the count above zero (P1).
        if self.0.fetch_add(1, Ordering::Relaxed) > COUNT_MAX {
            std::process::abort();
        }
    }

    /// One handle less; true for the last (P2).
    pub fn release(&self) -> bool {
        // ORDERING: Release orders what this handle did before the last release, whose Acquire orders it before the entry is
        // used again. In one operation rather than with a fence, which ThreadSanitizer does not understand.
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether there is one user and no other. For a user: if it is the one, others come by it only. What the others did
    /// happened before.
    pub fn is_last(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }

    /// Whether a handle exists. If not, what those did that there were happened before, and the entry may be used again.
    pub fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// Who frees an owned cell: its handle and its space let go of it on different threads.
///
/// - **P3 (once).** Of `handle_dropped` and `space_gone` exactly the second to be called returns
///   true, and its caller frees the cell.
#[derive(Debug)]
pub struct OwnedState(AtomicU8);

const BOTH: u8 = 0;
const HANDLE_DROPPED: u8 = 1;
const SPACE_GONE: u8 = 2;

impl OwnedState {
    /// Held by both.
    #[allow(clippy::new_without_default)]
    pub fn new() -> OwnedState {
        OwnedState(AtomicU8::new(BOTH))
    }

    /// The handle lets go; true if the space had, so that the caller frees the cell.
    pub fn handle_dropped(&self) -> bool {
        // ORDERING: AcqRel: what either side did with the cell happens before it is freed.
        self.0.swap(HANDLE_DROPPED, Ordering::AcqRel) == SPACE_GONE
    }

    /// The space lets go; true if the handle had, so that the caller frees the cell.
    pub fn space_gone(&self) -> bool {
        // ORDERING: as above.
        self.0.swap(SPACE_GONE, Ordering::AcqRel) == HANDLE_DROPPED
    }

    /// Whether the handle has let go.
    pub fn is_handle_dropped(&self) -> bool {
        self.0.load(Ordering::Acquire) == HANDLE_DROPPED
    }
}

/// Tells readers of mark bits until when they may believe them.
///
/// After a finish, a weak table's dead entries are told from its live ones by the mark bits, until
/// the collector has filtered the table; only then does the sweep clear the bits.
///
/// - **P4 (stable).** A mark bit read while [`Epoch::confirm`] afterwards returns true had its
///   value from the end of marking.
#[derive(Debug)]
pub struct Epoch(AtomicU8);

impl Epoch {
    /// The bits are to be believed.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Epoch {
        Epoch(AtomicU8::new(0))
    }

    /// Whether the epoch has ended, and what was prepared before its end may be used instead.
    pub fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// By a reader, after it read a bit: whether the bit can be believed (P4).
    pub fn confirm(&self) -> bool {
        // ORDERING: pairs with the fence in `end`: a reader that saw a bit cleared by the sweep
        // sees here that the epoch has ended.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == 0
    }

    /// By the collector, before the first bit is cleared.
    pub fn end(&self) {
        // ORDERING: Release: what replaces the bits is visible to whoever sees the end; the fence
        // orders the store before the clearing that follows.
        self.0.store(1, Ordering::Release);
        fence(Ordering::Release);
    }
}

/// By a marker, before it sets the first bit: a reader that saw a bit of this cycle sees that the
/// epochs of earlier ones have ended, also when another thread ended them (P4).
pub fn order_marks_after_epochs() {
    // ORDERING: pairs with the fence in `Epoch::confirm`. The marker knows of the ends, as whoever ran
    // the cycle before handed over to it; the fence passes that on to who reads its relaxed stores.
    fence(Ordering::Release);
}

#[cfg(all(test, not(cspace_loom), not(miri)))]
mod tests {
    use super::*;

    /// Set in the process that is meant to abort.
    const CHILD: &str = "CSPACE_TEST_HANDLE_COUNT_CHILD";

    #[test]
    fn a_count_beyond_its_limit_aborts_the_process() {
        if std::env::var_os(CHILD).is_some() {
            HandleCount(AtomicUsize::new(COUNT_MAX + 1)).acquire();
            // Not reached: exit quietly, so that the parent sees success where it expects none.
            std::process::exit(0);
        }
        let this = std::env::current_exe().expect("the test's own path");
        let child = std::process::Command::new(this)
            .args(["--exact", "protocol::tests::a_count_beyond_its_limit_aborts_the_process"])
            .env(CHILD, "1")
            .output()
            .expect("the test runs itself");
        assert!(!child.status.success(), "{child:?}");
    }
}
