//! [`GcCell`]: a part of an object that is borrowed to be changed.
//!
//! - **C1 (borrow).** `&T` comes from `&` a token that can borrow cells, `&mut T` from `&mut` of one;
//!   a brand has one such token at a time, and the `Alloc` half of a split borrows no cells. So two
//!   borrows of one cell overlap only if both are shared.

use core::cell::UnsafeCell;
use core::marker::PhantomData;

use crate::access::{Alloc, CellAccess, CellAccessMut, Exclusive};
use crate::brand::Brand;
use crate::hooks::Hooks;
use crate::nesting::{Depth, Drops};
use crate::object::{IObject, Rootable};
use crate::type_info::TypesSeen;
use crate::visitor::Visitor;

/// A part of an object that is changed in place: a `Vec`, a `HashMap`, any object type.
///
/// `borrow` takes any token, `borrow_mut` the exclusive one by `&mut`: the borrow checker does what a
/// `RefCell` does at run time. While a cell is borrowed mutably the token is taken; to allocate at the
/// same time, use [`with_mut`](GcCell::with_mut), or [`split`](crate::Exclusive::split) the token.
///
/// ```
/// use cspace_core::{Gc, GcCell, Space};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let list = cx.alloc(GcCell::new(Vec::<Gc<'_, u64>>::new()));
///     list.with_mut(cx, |list, alloc| list.push(alloc.alloc(1)));
///     // The same in two steps, for more than one statement or cell.
///     let (alloc, cells) = cx.split();
///     let borrowed = list.borrow_mut(cells);
///     borrowed.push(alloc.alloc(2));
///     assert_eq!(list.borrow(cx).len(), 2);
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[repr(transparent)]
pub struct GcCell<'gc, T> {
    value: UnsafeCell<T>,
    brand: Brand<'gc>,
}

// SAFETY: C1: shared borrows are reads of a `Sync` value, a mutable one is alone.
unsafe impl<T: Send + Sync> Sync for GcCell<'_, T> {}

impl<'gc, T: IObject<'gc>> GcCell<'gc, T> {
    /// A cell with a first value.
    #[inline]
    pub fn new(value: T) -> GcCell<'gc, T> {
        GcCell { value: UnsafeCell::new(value), brand: PhantomData }
    }

    /// Borrows the value to read.
    #[inline(always)]
    pub fn borrow<'a>(&'a self, _: &'a impl CellAccess<'gc>) -> &'a T {
        // SAFETY: C1.
        unsafe { &*self.value.get() }
    }

    /// Changes the value, and allocates meanwhile: `f` gets the value, and the half of the access that allocates, reads and
    /// makes handles. Returns what `f` does.
    ///
    /// ```
    /// use cspace_core::{Gc, GcCell, Space};
    ///
    /// let space = Space::builder().build()?;
    /// space.exclusive(|cx| {
    ///     let list = cx.alloc(GcCell::new(Vec::<Gc<'_, u64>>::new()));
    ///     let length = list.with_mut(cx, |list, alloc| {
    ///         list.push(alloc.alloc(1));
    ///         list.len()
    ///     });
    ///     assert_eq!(length, 1);
    /// });
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    #[inline]
    pub fn with_mut<R>(
        &self,
        cx: &mut Exclusive<'gc>,
        f: impl FnOnce(&mut T, &Alloc<'gc>) -> R,
    ) -> R {
        let (alloc, cells) = cx.split();
        f(self.borrow_mut(cells), alloc)
    }

    /// Borrows the value to change. To allocate while it is borrowed, as in `list.borrow_mut(cx).push(cx.alloc(1))`, which
    /// does not compile, use [`with_mut`](GcCell::with_mut): `list.with_mut(cx, |list, alloc| list.push(alloc.alloc(1)))`.
    #[inline(always)]
    pub fn borrow_mut<'a>(&'a self, _: &'a mut impl CellAccessMut<'gc>) -> &'a mut T {
        // SAFETY: C1.
        unsafe { &mut *self.value.get() }
    }

    /// Borrows two cells to change.
    ///
    /// # Panics
    ///
    /// If both are the same cell, or one lies within the other. Cells are told apart by their addresses: one whose
    /// content has no size is also refused beside a cell of the same object that the compiler put at the same
    /// place. Cells of two objects never are.
    #[track_caller]
    pub fn borrow_mut2<'a, U: IObject<'gc>>(
        &'a self,
        other: &'a GcCell<'gc, U>,
        _: &'a mut impl CellAccessMut<'gc>,
    ) -> (&'a mut T, &'a mut U) {
        let (a, b) = (self.value.get(), other.value.get());
        // A content without a size is one like others: it may stand for something else (a proof of ownership), so
        // it counts as a byte, of which nobody gets two.
        let (a_len, b_len) = (size_of::<T>().max(1), size_of::<U>().max(1));
        let disjoint = a.addr() + a_len <= b.addr() || b.addr() + b_len <= a.addr();
        assert!(disjoint, "borrow_mut2: both cells are the same, or one is a part of the other");
        // SAFETY: C1, and the two values do not overlap. What either owns elsewhere (a vector's
        // elements) holds no second way to the other but through a cell of its own.
        unsafe { (&mut *a, &mut *b) }
    }

    /// Puts a value in and returns the old one.
    #[inline]
    pub fn replace(&self, cx: &mut impl CellAccessMut<'gc>, value: T) -> T {
        core::mem::replace(self.borrow_mut(cx), value)
    }

    /// Takes the value out and leaves its default.
    #[inline]
    pub fn take(&self, cx: &mut impl CellAccessMut<'gc>) -> T
    where
        T: Default,
    {
        core::mem::take(self.borrow_mut(cx))
    }

    /// The value of a cell that nobody shares yet or any more.
    #[inline]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

#[doc(hidden)]
pub struct GcCellFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for GcCellFamily<R> {
    type At<'gc> = GcCell<'gc, R::At<'gc>>;
}
// SAFETY: the value is visited; the collector holds the space meanwhile, so nobody borrows it
// mutably.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for GcCell<'gc, T> {
    type R = GcCellFamily<T::R>;
    const NEEDS_VISIT: bool = T::NEEDS_VISIT;
    const MAY_CHANGE: bool = T::NEEDS_VISIT;
    #[inline]
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        // SAFETY: as above.
        unsafe { &*self.value.get() }.visit_objects(visitor);
    }
    const HAS_HOOKS: bool = T::HAS_HOOKS;
    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        T::may_run_user_code(types)
    }
    #[inline]
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        self.value.get_mut().on_condemned(hooks);
    }
    const MAY_NEST: bool = T::MAY_NEST;
    #[inline]
    fn is_deeper_than(&self, depth: Depth) -> bool {
        // SAFETY: a `Depth` is there only for values that nobody changes meanwhile.
        unsafe { &*self.value.get() }.is_deeper_than(depth)
    }
    #[inline]
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise, for the content, which is all that there is to drop.
        unsafe { T::drop_parts((*this).value.get(), drops) };
    }
}
