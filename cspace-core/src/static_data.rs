//! [`Static`]: data that has nothing to do with the space.

use core::borrow::Borrow;
use core::ops::{Deref, DerefMut};

use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;

/// Any `'static`, `Send` and `Sync` data as a part of an object.
///
/// The collector does not look inside; its `Drop`, if it has one, runs when the object is reclaimed,
/// on the collector's thread, with no lock held. A hook that is called before, with `&mut T`, is named by
/// `#[cspace(on_collect = "path")]` on a field of a derived type.
///
/// ```
/// use cspace_core::{Space, Static};
///
/// let space = Space::builder().build()?;
/// let path = space.exclusive(|cx| cx.root(cx.alloc(Static(std::path::PathBuf::from("a/b")))));
/// assert!(space.shared(|cx| path.get(cx).ends_with("b")));
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Static<T>(pub T);

impl<T> Deref for Static<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Equal and hashed as what it holds, so that tables with `Static` keys can be searched by that.
impl<T> Borrow<T> for Static<T> {
    #[inline(always)]
    fn borrow(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Static<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Send + Sync + 'static> Rootable for Static<T> {
    type At<'gc> = Static<T>;
}
// SAFETY: `'static` data holds no branded handle: brands are never `'static`.
unsafe impl<'gc, T: Send + Sync + 'static> IObject<'gc> for Static<T> {
    type R = Static<T>;
    const NEEDS_VISIT: bool = false;
    const MAY_CHANGE: bool = false;
    #[inline(always)]
    fn visit_objects(&self, _: &mut Visitor<'_>) {}
}
