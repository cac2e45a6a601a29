//! Handles by which collectors keep a space. They keep it as others do, but [`Space::destroy`] waits for them.

use core::fmt;
use core::ops::Deref;
use std::sync::{Arc, Weak};

use crate::held;
use crate::protocol::CollectorHandles;
use crate::space::{Space, SpaceInner};

/// A handle of a space by which its collector keeps it.
///
/// It keeps the space as a [`Space`] does, to which it dereferences, but for one thing: [`Space::destroy`] does not
/// fail because of it, but waits until it is dropped. A collector that runs on a thread of its own has one while it
/// looks or collects, and no `Space`. From [`Space::collector_handle`] or [`WeakCollectorHandle::upgrade`].
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let handle = space.collector_handle();
/// let other = std::thread::spawn(move || drop(handle));
/// assert!(space.destroy().is_ok());
/// other.join().unwrap();
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct CollectorHandle {
    /// None only within the drop.
    space: Option<Space>,
    handles: Arc<CollectorHandles>,
}

impl Deref for CollectorHandle {
    type Target = Space;
    fn deref(&self) -> &Space {
        self.space.as_ref().expect("taken by the drop only")
    }
}

impl Drop for CollectorHandle {
    fn drop(&mut self) {
        // In this order (P25). It may be the last handle.
        drop(self.space.take());
        self.handles.end();
    }
}

impl fmt::Debug for CollectorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Space {
    /// A collector's handle. For collectors.
    pub fn collector_handle(&self) -> CollectorHandle {
        let handles = Arc::clone(&self.inner.collector_handles);
        let space = handles.begin(false, || Some(self.clone()));
        CollectorHandle { space, handles }
    }

    /// A handle that does not keep the space alive and gives [`CollectorHandle`]s. For collectors.
    pub fn downgrade_to_collector(&self) -> WeakCollectorHandle {
        WeakCollectorHandle::new(Arc::downgrade(&self.inner), &self.inner.collector_handles)
    }
}

/// A handle of a space that does not keep it alive, for its collector. From [`Space::downgrade_to_collector`].
#[derive(Clone)]
pub struct WeakCollectorHandle {
    space: Weak<SpaceInner>,
    handles: Arc<CollectorHandles>,
}

impl WeakCollectorHandle {
    pub(crate) fn new(
        space: Weak<SpaceInner>,
        handles: &Arc<CollectorHandles>,
    ) -> WeakCollectorHandle {
        WeakCollectorHandle { space, handles: Arc::clone(handles) }
    }

    /// The space, unless it is gone. If somebody is just destroying it, waits until that is decided: so not by a
    /// thread that has a handle of the space.
    pub fn upgrade(&self) -> Option<CollectorHandle> {
        // In a drop of a sweep nobody is waited for.
        self.upgrade_with(!held::is_sweeping())
    }

    /// As [`upgrade`](WeakCollectorHandle::upgrade), but `None` while somebody is destroying the space: for a collector
    /// that others need meanwhile.
    pub fn try_upgrade(&self) -> Option<CollectorHandle> {
        let make = || self.space.upgrade().map(|inner| Space { inner });
        let space = self.handles.try_begin(make)?;
        Some(CollectorHandle { space: Some(space), handles: Arc::clone(&self.handles) })
    }

    /// As [`upgrade`](WeakCollectorHandle::upgrade), without waiting.
    pub(crate) fn upgrade_now(&self) -> Option<CollectorHandle> {
        self.upgrade_with(false)
    }

    fn upgrade_with(&self, waits: bool) -> Option<CollectorHandle> {
        let make = || self.space.upgrade().map(|inner| Space { inner });
        let space = self.handles.begin(waits, make)?;
        Some(CollectorHandle { space: Some(space), handles: Arc::clone(&self.handles) })
    }

    /// Whether the space is there. For collectors.
    pub fn is_there(&self) -> bool {
        self.space.strong_count() > 0
    }
}

impl fmt::Debug for WeakCollectorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakCollectorHandle")
    }
}
