//! [`CSpace`]: an object space with its collector.

use core::fmt;
use core::ops::Deref;

use cspace_core::{
    BuildError, Event, GcMode, LockError, LockMode, MultiGuard, PanicPolicy, Space, WeakSpace,
};
use cspace_gc::MarkSweep;

/// A space of garbage-collected objects behind one lock, with its collector.
///
/// A `CSpace` is a handle: `Clone`, `Send`, `Sync`; the objects live until the last one is dropped. What
/// one does with a space is in [`Space`], to which it dereferences.
///
/// ```
/// use cspace::CSpace;
///
/// let space = CSpace::new();
/// let root = space.exclusive(|cx| cx.root(cx.alloc("kept".to_string())));
/// space.exclusive(|cx| {
///     cx.alloc("garbage".to_string());
/// });
/// space.synchronous_gc()?;
/// assert_eq!(space.num_objects(), 1);
/// assert_eq!(space.shared(|cx| root.get(cx).len()), 4);
/// # Ok::<(), cspace::CollectError>(())
/// ```
#[derive(Clone)]
pub struct CSpace(Space);

impl CSpace {
    /// A space with default settings.
    pub fn new() -> CSpace {
        CSpace::builder().build().expect("the default settings are valid")
    }

    /// A builder with default settings.
    pub fn builder() -> Builder {
        Builder(Space::builder())
    }

    /// A handle that does not keep the space alive, for objects of the space that need to find it.
    pub fn downgrade(&self) -> WeakCSpace {
        WeakCSpace(self.0.downgrade())
    }

    /// Destroys the space now, if this is its last handle (ceda's `Destroy`). Every object is dropped.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there are others. A collection that another thread runs, or that waits
    /// to be reclaimed, holds one.
    pub fn destroy(self) -> Result<(), CSpace> {
        self.0.destroy().map_err(CSpace)
    }

    /// Takes the locks of several spaces; see [`Space::lock_multiple`].
    ///
    /// # Errors
    ///
    /// As [`Space::lock_multiple`].
    pub fn lock_multiple<'s>(
        spaces: impl IntoIterator<Item = (&'s CSpace, LockMode)>,
    ) -> Result<MultiGuard<'s>, LockError> {
        Space::lock_multiple(spaces.into_iter().map(|(space, mode)| (&space.0, mode)))
    }

    /// Whether two handles are of one space.
    pub fn ptr_eq(a: &CSpace, b: &CSpace) -> bool {
        Space::ptr_eq(&a.0, &b.0)
    }
}

impl Default for CSpace {
    fn default() -> Self {
        CSpace::new()
    }
}

impl Deref for CSpace {
    type Target = Space;
    #[inline(always)]
    fn deref(&self) -> &Space {
        &self.0
    }
}

impl fmt::Debug for CSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A handle of a space that does not keep it alive. From [`CSpace::downgrade`].
#[derive(Clone, Debug)]
pub struct WeakCSpace(WeakSpace);

impl WeakCSpace {
    /// The space, unless it is gone.
    pub fn upgrade(&self) -> Option<CSpace> {
        self.0.upgrade().map(CSpace)
    }
}

/// Configures a [`CSpace`]. Every setting has a default.
///
/// ```
/// use cspace::CSpace;
///
/// let space = CSpace::builder().name("interpreter").max_heap_bytes(256 << 20).build()?;
/// assert_eq!(space.name(), "interpreter");
/// # Ok::<(), cspace::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder(cspace_core::Builder);

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => { $(
        $(#[$doc])*
        pub fn $name(self, $($argument: $type),*) -> Builder {
            Builder(self.0.$name($($argument),*))
        }
    )* };
}

impl Builder {
    settings! {
        /// A name for messages and threads. Default: `space`.
        name(name: impl Into<String>);
        /// The most bytes that objects may take, those that are unreachable but not yet collected
        /// included. Allocations that would pass it fail. Default: no limit.
        max_heap_bytes(bytes: usize);
        /// The least number of bytes to allocate between two collections of a heap of some size. Larger: fewer
        /// collections, more memory. A heap with little alive is collected sooner, after 4 MiB and eight times
        /// what is alive: that costs little and stays in the cache. Default: 32 MiB.
        gc_budget_floor(bytes: usize);
        /// How many bytes to allocate between two collections, as a multiple of those alive. Larger: fewer
        /// collections, more memory. Default: 1.0; 0.5 to 4 are sensible.
        gc_budget_factor(factor: f64);
        /// Collect at every safepoint, and check the order in which spaces are locked: to find objects
        /// that nobody keeps alive. Slow; after some hundred collections, and in a large heap,
        /// safepoints are passed over in between, so that long programs end. Default: off.
        stress(on: bool);
        /// Overwrite reclaimed memory with the byte `0xDB`: to find uses of dead objects by unsafe code.
        /// Default: off.
        poison_freed(on: bool);
        /// What a panic in an exclusive access does. Default: [`PanicPolicy::Poison`].
        panic_policy(policy: PanicPolicy);
        /// Who starts collections. Default: [`GcMode::Automatic`].
        gc(mode: GcMode);
        /// Calls `listener` for every [`Event`], on the thread where it happens, with no lock held. May be
        /// given several times.
        on_event(listener: impl Fn(&Event) + Send + Sync + 'static);
    }

    /// Builds the space.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense; the error says which.
    pub fn build(self) -> Result<CSpace, BuildError> {
        self.0.collector(MarkSweep::new()).build().map(CSpace)
    }
}
