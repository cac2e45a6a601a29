//! Handles on what lies in the memory of a context or a configuration.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A handle on something in the memory of a context or of a configuration, to be looked at by way of that: `Copy`, and
/// checked.
///
/// A context that is used again is another one: handles from before do not fit.
///
/// Invariant in `T`: by a copy that was made a handle on a supertype, a value could be put in that the first copy's
/// type does not allow.
pub struct ContextHandle<T: ?Sized> {
    pub(super) owner: u64,
    pub(super) place: NonNull<T>,
    /// `NonNull` alone is covariant.
    content: PhantomData<*mut T>,
}

impl<T: ?Sized> ContextHandle<T> {
    pub(super) fn new(owner: u64, place: NonNull<T>) -> ContextHandle<T> {
        ContextHandle { owner, place, content: PhantomData }
    }
}

// SAFETY: a handle gives nothing away by itself; whoever has the context (or shares the configuration) gets at what it
// names, by the rules of that.
unsafe impl<T: ?Sized> Send for ContextHandle<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized> Sync for ContextHandle<T> {}

impl<T: ?Sized> Clone for ContextHandle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for ContextHandle<T> {}

impl<T: ?Sized> PartialEq for ContextHandle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.owner == other.owner && core::ptr::addr_eq(self.place.as_ptr(), other.place.as_ptr())
    }
}
impl<T: ?Sized> Eq for ContextHandle<T> {}

impl<T: ?Sized> fmt::Debug for ContextHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextHandle").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A handle or a key was used with a context or a configuration that it does not belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this handle or key belongs to another context or configuration, or to one that has ended")]
pub struct WrongContext;

/// The next owner's number. 0 is nobody's.
pub(super) fn next_owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}
