//! Weak references.
//!
//! A weak reference is a handle on a *weak cell*, a small object that knows its target. The marker
//! visits the cell but not the target; cells whose target is dead when marking is over are emptied in
//! the finish, while nobody has access. So a target is seen alive or not at all, never half.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::access::Access;
use crate::brand::Family;
use crate::chunk::is_marked;
use crate::error::WrongSpace;
use crate::gc::Gc;
use crate::object::{IObject, Rootable};
use crate::root::GcRoot;
use crate::space::SpaceInner;
use crate::visitor::Visitor;

/// The object behind a weak reference. Emptied by the collector in the finish; else never changed.
pub(crate) struct WeakCell {
    target: AtomicPtr<u8>,
}

impl Rootable for WeakCell {
    type At<'gc> = WeakCell;
}
// SAFETY: the target is deliberately not visited; `clear_if_dead` empties the cell before the target
// is condemned.
unsafe impl<'gc> IObject<'gc> for WeakCell {
    type R = WeakCell;
    const NAME: &'static str = "weak cell";
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        let target = self.target.load(Relaxed);
        // SAFETY: a target is an object that no finish condemned, else the cell would be empty.
        if !target.is_null() && unsafe { !is_marked(target) } {
            visitor.note_weak_cell(self);
        }
    }
}

impl WeakCell {
    pub(crate) fn new<'gc, T: IObject<'gc>>(target: Gc<'gc, T>) -> WeakCell {
        WeakCell { target: AtomicPtr::new(target.address().cast_mut()) }
    }

    /// Empties the cell if its target is not marked. In the finish, after all marking.
    pub(crate) fn clear_if_dead(&self) {
        let target = self.target.load(Relaxed);
        // SAFETY: as in `visit_objects`.
        if !target.is_null() && unsafe { !is_marked(target) } {
            self.target.store(core::ptr::null_mut(), Relaxed);
        }
    }
}

/// A reference that does not keep its object alive.
///
/// Made by `cx.downgrade(gc)`. `Copy`; lives in objects and owned roots.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let object = cx.alloc(5u64);
///     let weak = cx.downgrade(object);
///     assert_eq!(*weak.upgrade(cx).unwrap(), 5);
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct GcWeak<'gc, T> {
    cell: Gc<'gc, WeakCell>,
    target: PhantomData<Gc<'gc, T>>,
}

impl<T> Clone for GcWeak<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for GcWeak<'_, T> {}

impl<'gc, T: IObject<'gc>> GcWeak<'gc, T> {
    pub(crate) fn new(cell: Gc<'gc, WeakCell>) -> GcWeak<'gc, T> {
        GcWeak { cell, target: PhantomData }
    }

    /// The object, unless a collection found it dead.
    #[inline]
    pub fn upgrade(self, _: &impl Access<'gc>) -> Option<Gc<'gc, T>> {
        let target = self.cell.target.load(Relaxed);
        // SAFETY: a cell that is not empty names an object of type `T` (it was made from one); the
        // finish, which would condemn it, waits for the end of this access.
        (!target.is_null()).then(|| unsafe { Gc::from_address(target) })
    }

    /// Whether a collection found the object dead.
    pub fn is_dead(self, cx: &impl Access<'gc>) -> bool {
        self.upgrade(cx).is_none()
    }
}

impl<T> core::fmt::Debug for GcWeak<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "GcWeak({:#x})", self.cell.addr())
    }
}

/// A reference from outside of the heap that does not keep its object alive.
///
/// Made by `cx.weak_root(gc)`; `Send`, `Sync` and `Clone`, like a [`GcRoot`]: for caches and registries on other
/// threads. It keeps 16 bytes of the heap, which go with its last copy.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let (weak, root) = space.exclusive(|cx| {
///     let object = cx.alloc(5u64);
///     (cx.weak_root(object), cx.root(object))
/// });
/// let value = std::thread::scope(|threads| {
///     threads.spawn(|| space.shared(|cx| weak.upgrade(cx).map(|object| *object))).join().unwrap()
/// });
/// assert_eq!(value, Some(5));
/// # drop(root);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct WeakRoot<R: Rootable> {
    cell: GcRoot<WeakCell>,
    family: Family<R>,
}

impl<R: Rootable> WeakRoot<R> {
    /// # Safety
    ///
    /// As [`GcRoot::new`].
    pub(crate) unsafe fn new<'gc, T: IObject<'gc, R = R>>(
        space: &SpaceInner,
        weak: GcWeak<'gc, T>,
    ) -> WeakRoot<R> {
        // SAFETY: the caller's promise.
        WeakRoot { cell: unsafe { GcRoot::new(space, weak.cell) }, family: PhantomData }
    }

    /// The object, unless a collection found it dead.
    ///
    /// # Panics
    ///
    /// If the reference belongs to another space; [`try_upgrade`](WeakRoot::try_upgrade) returns that as an error.
    #[inline]
    #[track_caller]
    pub fn upgrade<'gc>(&self, cx: &impl Access<'gc>) -> Option<Gc<'gc, R::At<'gc>>> {
        self.get(cx).upgrade(cx)
    }

    /// The object, unless a collection found it dead, or an error if the reference belongs to another space.
    #[inline]
    pub fn try_upgrade<'gc>(
        &self,
        cx: &impl Access<'gc>,
    ) -> Result<Option<Gc<'gc, R::At<'gc>>>, WrongSpace> {
        Ok(self.try_get(cx)?.upgrade(cx))
    }

    /// Whether a collection found the object dead.
    ///
    /// # Panics
    ///
    /// As [`upgrade`](WeakRoot::upgrade).
    #[track_caller]
    pub fn is_dead<'gc>(&self, cx: &impl Access<'gc>) -> bool {
        self.upgrade(cx).is_none()
    }

    /// The reference in the form in which objects hold one.
    ///
    /// # Panics
    ///
    /// As [`upgrade`](WeakRoot::upgrade).
    #[inline]
    #[track_caller]
    pub fn get<'gc>(&self, cx: &impl Access<'gc>) -> GcWeak<'gc, R::At<'gc>> {
        match self.try_get(cx) {
            Ok(weak) => weak,
            Err(error) => panic!("{error}"),
        }
    }

    #[inline]
    fn try_get<'gc>(&self, cx: &impl Access<'gc>) -> Result<GcWeak<'gc, R::At<'gc>>, WrongSpace> {
        // The cell was made for an object of the family, in which the handle is invariant.
        Ok(GcWeak::new(self.cell.try_get(cx)?))
    }
}

impl<R: Rootable> Clone for WeakRoot<R> {
    fn clone(&self) -> Self {
        WeakRoot { cell: self.cell.clone(), family: PhantomData }
    }
}

impl<R: Rootable> core::fmt::Debug for WeakRoot<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WeakRoot").finish_non_exhaustive()
    }
}

#[doc(hidden)]
pub struct GcWeakFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for GcWeakFamily<R> {
    type At<'gc> = GcWeak<'gc, R::At<'gc>>;
}
// SAFETY: the weak cell is visited; the target is not meant to be.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for GcWeak<'gc, T> {
    type R = GcWeakFamily<T::R>;
    const MAY_CHANGE: bool = false;
    #[inline]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.edge(self.cell);
    }
}
