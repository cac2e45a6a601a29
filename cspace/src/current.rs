//! The current space of a thread, and functions that act on it.
//!
//! A thread may have a current space (ceda's thread-local `CSpace`), so that code which is called from
//! afar needs no space passed to it. [`CSpace::set_current`] makes a space current until its guard is
//! dropped; [`CSpace::scope`] makes a new one for the length of a closure. The functions of this module act
//! on the current space, and return an error if there is none or its lock cannot be had. Where a space is
//! at hand, its methods are the better choice.
//!
//! They take the lock like any other access: inside an access to the current space its token is what to
//! use, and no function here gives one out that was not taken with the lock.
//!
//! ```
//! use cspace::{current, CSpace};
//!
//! let space = CSpace::new();
//! let _current = space.set_current();
//! let root = current::exclusive(|cx| cx.root(cx.alloc("kept".to_string())))?;
//! current::synchronous_gc()?;
//! assert_eq!(current::num_objects()?, 1);
//! assert_eq!(current::shared(|cx| root.get(cx).len())?, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Each thread has a stack of entries, one for each guard. A guard removes its own entry wherever it is,
// as guards may be dropped in any order. Entries are weak: what a forgotten guard leaves behind is an
// entry, which is passed over once its space is gone. No user code runs while the stack is borrowed:
// handles of spaces leave it before they are dropped. The stack goes with its thread, before or after
// guards that other thread-locals hold, hence `try_with`.

use core::cell::RefCell;
use core::marker::PhantomData;

use cspace_core::{CollectError, CollectReport, Exclusive, LockError, MemoryStats, Shared, Wait};

use crate::space::{CSpace, WeakCSpace};

thread_local! {
    static STACK: RefCell<Stack> =
        const { RefCell::new(Stack { entries: Vec::new(), serial_last: 0 }) };
}

struct Stack {
    /// In the order in which they became current; the last whose space lives is the current one.
    entries: Vec<Entry>,
    serial_last: u64,
}

struct Entry {
    /// Names the entry's guard.
    serial: u64,
    space: WeakCSpace,
}

/// The thread has no current space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this thread has no current space: keep the guard of `CSpace::set_current` while it is needed, or run this inside `CSpace::scope`; each thread sets its own")]
pub struct NoCurrentSpace;

/// A function of this module could not do its work on the current space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CurrentError {
    /// There is none.
    #[error(transparent)]
    NoCurrentSpace(#[from] NoCurrentSpace),
    /// Its lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be collected.
    #[error(transparent)]
    Collect(#[from] CollectError),
}

/// Keeps a space current on its thread until it is dropped. From [`CSpace::set_current`].
///
/// Guards may be dropped in any order: the current space is that of the youngest guard that is left and
/// whose space lives. Stays on its thread. A guard that is forgotten (`mem::forget`) keeps no space alive.
#[must_use = "the space is current until the guard is dropped"]
pub struct CurrentGuard<'s> {
    space: &'s CSpace,
    /// Of the guard's entry; 0 if it has none.
    serial: u64,
    /// Neither `Send` nor `Sync`: the entry is on this thread's stack.
    local: PhantomData<*mut ()>,
}

impl<'s> CurrentGuard<'s> {
    /// The space.
    pub fn space(&self) -> &'s CSpace {
        self.space
    }
}

impl Drop for CurrentGuard<'_> {
    fn drop(&mut self) {
        let entry = STACK.try_with(|stack| {
            let entries = &mut stack.borrow_mut().entries;
            let at = entries.iter().rposition(|entry| entry.serial == self.serial)?;
            Some(entries.remove(at))
        });
        drop(entry);
    }
}

impl CSpace {
    /// Makes this the current space of the thread until the guard is dropped, when the one before is
    /// again (ceda's thread-local `CSpace`).
    ///
    /// ```
    /// use cspace::CSpace;
    ///
    /// let (outer, inner) = (CSpace::new(), CSpace::new());
    /// let _outer = outer.set_current();
    /// {
    ///     let _inner = inner.set_current();
    ///     assert!(CSpace::ptr_eq(&CSpace::current()?, &inner));
    /// }
    /// assert!(CSpace::ptr_eq(&CSpace::current()?, &outer));
    /// # Ok::<(), cspace::NoCurrentSpace>(())
    /// ```
    ///
    /// This takes no lock, and has nothing to do with which spaces the thread holds. In the destructors of a
    /// thread's thread-locals it may have no effect.
    pub fn set_current(&self) -> CurrentGuard<'_> {
        let space = self.downgrade();
        let serial = STACK.try_with(|stack| {
            let stack = &mut *stack.borrow_mut();
            stack.serial_last += 1;
            stack.entries.push(Entry { serial: stack.serial_last, space });
            stack.serial_last
        });
        CurrentGuard { space: self, serial: serial.unwrap_or(0), local: PhantomData }
    }

    /// The current space of this thread (ceda's thread-local `CSpace`).
    ///
    /// # Errors
    ///
    /// If the thread has none: no guard of [`set_current`](CSpace::set_current) is left whose space lives.
    pub fn current() -> Result<CSpace, NoCurrentSpace> {
        let current = STACK.try_with(|stack| {
            stack.borrow().entries.iter().rev().find_map(|entry| entry.space.upgrade())
        });
        current.ok().flatten().ok_or(NoCurrentSpace)
    }

    /// Calls `f` with a new space with default settings, which is current meanwhile, and destroys it (ceda's
    /// `CSpaceCreator`). For tests, examples and tools that need a space for one job.
    ///
    /// ```
    /// use cspace::{current, CSpace};
    ///
    /// let length = CSpace::scope(|_space| {
    ///     current::exclusive(|cx| cx.alloc("short-lived".to_string()).len())
    /// })?;
    /// assert_eq!(length, 11);
    /// # Ok::<(), cspace::CurrentError>(())
    /// ```
    ///
    /// The space is destroyed also if `f` panics. Handles that `f` leaves elsewhere keep it alive until they
    /// are dropped. If this thread holds another space or runs a sweep, the objects are dropped when it no
    /// longer does.
    pub fn scope<R>(f: impl FnOnce(&CSpace) -> R) -> R {
        let space = CSpace::new();
        let _current = space.set_current();
        f(&space)
    }
}

/// Calls `f` with exclusive access to the current space: read, allocate, change. Waits for the lock.
///
/// # Errors
///
/// If there is no current space, or its lock cannot be had; see [`LockError`].
///
/// # Panics
///
/// If `f` does, which poisons the space.
pub fn exclusive<R>(f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R) -> Result<R, CurrentError> {
    Ok(CSpace::current()?.try_exclusive_within(Wait::Forever, f)?)
}

/// Calls `f` with shared access to the current space: read, beside other readers. Waits for the lock.
///
/// # Errors
///
/// As [`exclusive`].
pub fn shared<R>(f: impl for<'gc> FnOnce(&Shared<'gc>) -> R) -> Result<R, CurrentError> {
    Ok(CSpace::current()?.try_shared_within(Wait::Forever, f)?)
}

/// As [`exclusive`], between the callbacks for the beginning and the end of a transaction (ceda's
/// `CSpaceTxn`).
///
/// # Errors
///
/// As [`exclusive`].
///
/// # Panics
///
/// If `f` or a callback does.
pub fn transaction<R>(
    f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
) -> Result<R, CurrentError> {
    Ok(CSpace::current()?.try_transaction_within(Wait::Forever, f)?)
}

/// Collects the current space now, on this thread (ceda's `SynchronousGc`).
///
/// # Errors
///
/// If there is no current space, and as [`Space::synchronous_gc`](cspace_core::Space::synchronous_gc).
pub fn synchronous_gc() -> Result<CollectReport, CurrentError> {
    Ok(CSpace::current()?.synchronous_gc()?)
}

/// Asks for a collection of the current space at the next safepoint of whoever holds its lock.
///
/// # Errors
///
/// If there is no current space.
pub fn request_gc() -> Result<(), NoCurrentSpace> {
    CSpace::current()?.request_gc();
    Ok(())
}

/// How many objects the current space has (ceda's `GetNumObjects`); see
/// [`Space::num_objects`](cspace_core::Space::num_objects).
///
/// # Errors
///
/// If there is no current space.
pub fn num_objects() -> Result<usize, NoCurrentSpace> {
    Ok(CSpace::current()?.num_objects())
}

/// How many roots of the current space are held by [`GcRoot`](cspace_core::GcRoot) handles.
///
/// # Errors
///
/// If there is no current space.
pub fn num_roots() -> Result<usize, NoCurrentSpace> {
    Ok(CSpace::current()?.num_roots())
}

/// The byte counts of the current space.
///
/// # Errors
///
/// If there is no current space.
pub fn memory() -> Result<MemoryStats, NoCurrentSpace> {
    Ok(CSpace::current()?.memory())
}

/// How many collections of the current space were completed (ceda's `GetTotalNumCompletedGcs`).
///
/// # Errors
///
/// If there is no current space.
pub fn total_num_completed_gcs() -> Result<u64, NoCurrentSpace> {
    Ok(CSpace::current()?.total_num_completed_gcs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_count() -> usize {
        STACK.with(|stack| stack.borrow().entries.len())
    }

    #[test]
    fn a_guard_removes_its_own_entry_and_no_other() {
        let space = CSpace::new();
        let guards: Vec<_> = (0..5).map(|_| space.set_current()).collect();
        assert_eq!(entry_count(), 5);
        let serials: Vec<u64> = guards.iter().map(|guard| guard.serial).collect();
        for (dropped, guard) in guards.into_iter().enumerate() {
            drop(guard);
            let left: Vec<u64> = STACK
                .with(|stack| stack.borrow().entries.iter().map(|entry| entry.serial).collect());
            assert_eq!(left, serials[dropped + 1..]);
        }
    }

    #[test]
    fn a_forgotten_guard_leaves_an_entry_that_is_passed_over() {
        let outer = CSpace::new();
        let _outer = outer.set_current();
        let inner = CSpace::new();
        core::mem::forget(inner.set_current());
        assert!(CSpace::ptr_eq(&CSpace::current().unwrap(), &inner));
        drop(inner);
        assert_eq!(entry_count(), 2);
        assert!(CSpace::ptr_eq(&CSpace::current().unwrap(), &outer));
    }
}
