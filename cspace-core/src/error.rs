//! What can go wrong, one small type for each operation.

use core::fmt;
use std::time::Duration;

/// A lock could not be taken.
///
/// The blocking forms (`lock`, `exclusive`, …) panic with this message, the `try_` forms return it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// This thread holds the space already.
    #[error("space `{space}` is held by this thread already: leave that access first, or use its token; a second lock of one space by one thread would wait for itself")]
    Reentry {
        /// The space's name.
        space: String,
    },
    /// A panic ended an exclusive access.
    #[error("space `{space}` is poisoned: a panic ended an exclusive access and may have left its objects half changed; check them and call `clear_poison`")]
    Poisoned {
        /// The space's name.
        space: String,
    },
    /// A thread ended while it held the lock through a forgotten guard.
    #[error("the lock of space `{space}` was leaked: a thread that has ended forgot its guard (`mem::forget`), so nobody can take it any more")]
    LockLeaked {
        /// The space's name.
        space: String,
    },
    /// Somebody else has the lock.
    #[error("space `{space}` is held by another thread")]
    WouldBlock {
        /// The space's name.
        space: String,
    },
    /// Somebody else had the lock for all of the time given.
    #[error("space `{space}` was held by another thread for {} ms", timeout.as_millis())]
    Timeout {
        /// The space's name.
        space: String,
        /// How long the lock was waited for.
        timeout: Duration,
    },
    /// This thread holds a space with a higher number: two threads that nest in opposite orders
    /// wait for each other. Checked in debug builds and under stress, by the forms that wait, however long; those that
    /// do not wait may lock in any order.
    #[error("space `{space}` is locked while this thread holds a younger one: take several spaces with `lock_multiple`, which orders them, or nest older spaces outside")]
    LockOrder {
        /// The space's name.
        space: String,
    },
    /// This thread would hold too many spaces.
    #[error("a thread can hold at most {max} spaces at once")]
    TooMany {
        /// How many it can hold.
        max: usize,
    },
    /// A space is named twice in `lock_multiple`.
    #[error("space `{space}` is given twice to `lock_multiple`: name each once")]
    Duplicate {
        /// The space's name.
        space: String,
    },
    /// `lock_multiple` was called by a thread that holds a space.
    #[error("`lock_multiple` takes several spaces in a fixed order and so must be called by a thread that holds none")]
    HoldsOthers,
}

/// A handle was used with a space that it does not belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this root belongs to another space (or to one that was destroyed): use it in an access to the space that made it")]
pub struct WrongSpace;

/// There was no room for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeapFull {
    /// Bytes that were asked of the heap: the object's, or those of the gap it would have begun.
    pub requested: usize,
    /// Why there was no room.
    pub cause: HeapFullCause,
}

/// Why there was no room for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapFullCause {
    /// The space's limit would be passed.
    Limit {
        /// `max_heap_bytes` of the space, in bytes.
        limit: usize,
        /// Bytes in use, those that are unreachable but not yet collected included.
        allocated: usize,
    },
    /// The limit of the space's [`Ledger`](crate::Ledger), for objects and what is charged together, would be
    /// passed.
    Memory {
        /// The ledger's limit, in bytes.
        limit: usize,
        /// Bytes in use, unreachable objects that are not yet collected and what they hold included.
        used: usize,
    },
    /// The system gave no memory.
    System,
    /// The object's size in bytes does not fit into an `isize`.
    TooLarge,
}

impl fmt::Display for HeapFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requested = self.requested;
        match self.cause {
            HeapFullCause::Limit { limit, allocated } => write!(
                f,
                "the heap is full: {requested} bytes more would pass its limit of {limit} bytes ({allocated} in use); \
                 leave the access, collect, and try again, or raise `max_heap_bytes`"
            ),
            HeapFullCause::Memory { limit, used } => write!(
                f,
                "the memory of the space is full: {requested} bytes more would pass its limit of {limit} bytes \
                 ({used} in use, memory outside of the heap included); leave the access, collect, and try again, \
                 or raise the ledger's limit"
            ),
            HeapFullCause::System => write!(f, "the system has no memory for {requested} bytes"),
            HeapFullCause::TooLarge => write!(f, "an object cannot be larger than {} bytes", isize::MAX),
        }
    }
}

impl std::error::Error for HeapFull {}

/// An allocation failed; the value comes back.
pub struct AllocError<T> {
    /// What was to be allocated.
    pub value: T,
    /// Why it was not.
    pub cause: HeapFull,
}

impl<T> fmt::Debug for AllocError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AllocError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> std::error::Error for AllocError<T> {}

/// An object could not be made or unmade a root (ceda's `AddGcRoot`, `RemoveGcRoot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The object is a root already.
    #[error("the object is a root of this space already: the set of roots counts each once")]
    AlreadyRoot,
    /// The object is no root.
    #[error("the object is not a root of this space: `add_gc_root` it first")]
    NotARoot,
}

/// A collection could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The calling thread has access to the space.
    #[error("a collection of space `{space}` was asked for by a thread that is inside of it: leave the access, or use the guard's `collect` or `safepoint`")]
    InsideAccess {
        /// The space's name.
        space: String,
    },
    /// A panic came out of a `visit_objects`; the cycle was given up, nothing was condemned.
    #[error("`visit_objects` panicked: {message}; the collection was abandoned, and no object was reclaimed")]
    VisitPanicked {
        /// The panic's message.
        message: String,
    },
    /// The system has no memory for what the collection has to note. It was given up; nothing was condemned.
    ///
    /// A mark goes on without memory where it can: the mark stack has a way to do with what it has. What it cannot do
    /// without is little: copies of lists of roots, lists of weak sets and ephemeron maps.
    #[error("there was no memory for a collection to note {what}; it was abandoned, and no object was reclaimed")]
    NoMemory {
        /// What could not be noted.
        what: &'static str,
    },
    /// The call came from a `Drop` that the sweep of this or another space runs.
    #[error("a collection of space `{space}` was asked for by a drop that a sweep runs; it is noted and happens at the next safepoint")]
    InSweep {
        /// The space's name.
        space: String,
    },
    /// Another thread's cycle is being swept, or somebody has the lock, and this thread holds another space or runs a
    /// sweep: a drop of that cycle, or whoever has the lock, may be waiting for it.
    #[error("space `{space}` is being collected by another thread, for which this one cannot wait while it holds another space; the collection is noted and happens at the next safepoint")]
    Busy {
        /// The space's name.
        space: String,
    },
    /// The space's objects were merged into another space while a collection of them was about to begin.
    #[error("the objects of space `{space}` were merged into another space while a collection was about to begin; collect that one, or this one again")]
    Transferred {
        /// The space's name.
        space: String,
    },
    /// The lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The space was built without a collector.
    #[error("space `{space}` has no collector: it was built with `GcMode::Off`, or from the core crate alone")]
    NoCollector {
        /// The space's name.
        space: String,
    },
}

/// A space could not be built: a setting makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The budget's factor is not a positive number.
    #[error("gc_budget_factor must be a positive finite number, not {0}")]
    BudgetFactor(f64),
    /// The name is too long.
    #[error("a space's name has at most {max} bytes, this one has {len}")]
    NameTooLong {
        /// Bytes in the name given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
}

/// The objects of a space could not be merged into another space. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Source and target are one space.
    #[error("space `{space}` cannot be merged into itself: name two spaces")]
    SameSpace {
        /// The space's name.
        space: String,
    },
    /// This thread holds one of the two, or another space.
    #[error("a thread that holds a space cannot merge spaces, as that takes both locks in a fixed order: leave the access (`unlocked` is enough) and merge then")]
    HoldsSpace,
    /// The target would pass its limit.
    #[error("space `{space}` would have {needed} bytes of objects after the merge, and its limit is {limit}: collect both first, or raise `max_heap_bytes`")]
    HeapFull {
        /// The target's name.
        space: String,
        /// Bytes of objects that both have together.
        needed: usize,
        /// `max_heap_bytes` of the target, in bytes.
        limit: usize,
    },
    /// The target's ledger would pass its limit.
    #[error("space `{space}` would have {needed} bytes of objects and other memory after the merge, and the limit of its ledger is {limit}: collect both first, or raise it")]
    MemoryFull {
        /// The target's name.
        space: String,
        /// Bytes that both have together.
        needed: usize,
        /// The limit of the target's ledger, in bytes.
        limit: usize,
    },
    /// A lock could not be had: one of the spaces is poisoned, its lock was leaked, or, for forms that do not wait
    /// for ever ([`try_transfer_from`](crate::Space::try_transfer_from)), somebody has it.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// A cycle was waited for in vain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was over.
    #[error("space `{space}` had completed {completed} collections when the time was over")]
    Timeout {
        /// The space's name.
        space: String,
        /// Collections completed by then.
        completed: u64,
    },
    /// The calling thread has access to a space, and a collection may be waiting for it.
    #[error("a thread that holds a space waited for a collection of space `{space}`, which may have to wait for that thread: leave the access first")]
    HoldsSpace {
        /// The name of the space whose collections were waited for.
        space: String,
    },
    /// The call came from a `Drop` that a sweep runs, for the end of which the next collection waits.
    #[error("a drop that a sweep runs waited for a collection of space `{space}`, which may have to wait for that drop")]
    InSweep {
        /// The name of the space whose collections were waited for.
        space: String,
    },
    /// The call came from a thread that runs collections, of this space or of another: a listener made it, say.
    #[error("a thread that runs collections (a listener called) waited for a collection of space `{space}`, which it may have to run itself")]
    FromCollector {
        /// The name of the space whose collections were waited for.
        space: String,
    },
}
