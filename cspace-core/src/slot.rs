//! [`Slot`]: a `Copy` part of an object that can be changed.
//!
//! - **S1 (access).** A slot is read with a token, and written with an exclusive one; readers and
//!   writers of one space are never inside at once, so the plain loads and stores do not race. The
//!   collector reads slots while it holds the space's lock.
//!
//! While an incremental mark is under way, what is put into a slot is shown to it (I3).

use core::cell::UnsafeCell;
use core::marker::PhantomData;

use crate::access::{Access, Alloc};
use crate::brand::Brand;
use crate::hooks::Hooks;
use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;

/// A part of an object that is read and replaced whole: a reference, a number, a [`NanBox`](crate::NanBox).
///
/// `get` takes any token, `set` the exclusive one (or the `Alloc` half of a split). One is a plain load, the
/// other a plain store, and a look whether a mark is under way if there may be a reference in the value. There
/// is no `Debug`, `PartialEq` or `Clone` that looks inside without a token.
///
/// ```
/// use cspace_core::{Gc, IObject, Slot, Space};
///
/// #[derive(IObject)]
/// #[cspace(crate = cspace_core)]
/// struct Node<'gc> {
///     next: Slot<'gc, Option<Gc<'gc, Node<'gc>>>>,
/// }
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let node = cx.alloc(Node { next: Slot::new(None) });
///     node.next.set(cx, Some(node));
///     assert!(Gc::ptr_eq(node.next.get(cx).unwrap(), node));
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[repr(transparent)]
pub struct Slot<'gc, T> {
    value: UnsafeCell<T>,
    brand: Brand<'gc>,
}

// SAFETY: S1: shared use is reads only, exclusive use is one thread's.
unsafe impl<T: Send + Sync> Sync for Slot<'_, T> {}

impl<'gc, T: Copy + IObject<'gc>> Slot<'gc, T> {
    /// A slot with a first value.
    #[inline(always)]
    pub fn new(value: T) -> Slot<'gc, T> {
        Slot { value: UnsafeCell::new(value), brand: PhantomData }
    }

    /// The value.
    #[inline(always)]
    pub fn get(&self, _: &impl Access<'gc>) -> T {
        // SAFETY: S1: nobody writes while a token is out that reads.
        unsafe { *self.value.get() }
    }

    /// Replaces the value.
    #[inline(always)]
    pub fn set(&self, cx: &Alloc<'gc>, value: T) {
        // SAFETY: S1: the exclusive token stays on its thread, and reads give copies.
        unsafe { *self.value.get() = value };
        if T::NEEDS_VISIT && cx.is_marking() {
            self.note(cx);
        }
    }

    /// A mark is under way, which has to know what was put in (I3).
    #[cold]
    #[inline(never)]
    fn note(&self, cx: &Alloc<'gc>) {
        let value = self.get(cx);
        // SAFETY: the token is that of the holder of the exclusive lock (A2), on its thread; the value is one of its
        // brand, so what it refers to are objects of the space. It is a copy, and no token goes along with it.
        unsafe { cx.inner().incremental().note(|visitor| value.visit_objects(visitor)) };
    }

    /// Replaces the value and returns the old one.
    #[inline]
    pub fn replace(&self, cx: &Alloc<'gc>, value: T) -> T {
        let old = self.get(cx);
        self.set(cx, value);
        old
    }
}

#[doc(hidden)]
pub struct SlotFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for SlotFamily<R> {
    type At<'gc> = Slot<'gc, R::At<'gc>>;
}
// SAFETY: the value is visited; the collector holds the space meanwhile, so nobody writes (S1).
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for Slot<'gc, T> {
    type R = SlotFamily<T::R>;
    const NEEDS_VISIT: bool = T::NEEDS_VISIT;
    const MAY_CHANGE: bool = T::NEEDS_VISIT;
    // By `set` alone, which shows what is put in; unless the value does otherwise.
    const CHANGES_UNSEEN: bool = T::NEEDS_VISIT && T::MAY_CHANGE && T::CHANGES_UNSEEN;
    #[inline(always)]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        // SAFETY: as above.
        unsafe { &*self.value.get() }.visit_objects(visitor);
    }
    const HAS_HOOKS: bool = T::HAS_HOOKS;
    #[inline]
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        self.value.get_mut().on_condemned(hooks);
    }
}
