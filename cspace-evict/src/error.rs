//! Why a cache has no object.

use cspace_core::{LockError, WrongSpace};

/// Why [`EvictableCache::get_or_load`](crate::EvictableCache::get_or_load) has no object for a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed.
    #[error("{0}")]
    Load(E),
    /// This thread is already loading the key, or loads one that the key's loader waits for.
    #[error("the load of a key needs that key, by itself or through loads that wait for each other; take what it needs from elsewhere")]
    Reentered,
    /// Another thread is loading the key, and an access cannot wait for it.
    #[error("another thread is loading the key; ask again after this access, or use `get_or_load` outside of one")]
    Busy,
    /// This thread holds a space, or runs a drop of a sweep.
    #[error("this thread holds a space, or runs a drop of a collection: another thread's loading cannot be waited for; use `get_or_make`")]
    HoldsSpace,
    /// The space cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The cache is of another space.
    #[error(transparent)]
    WrongSpace(#[from] WrongSpace),
}
