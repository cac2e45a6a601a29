//! The tokens that prove access: [`Exclusive`], [`Shared`], and the halves of a split.
//!
//! - **A1 (one).** For one brand there is at most one `Exclusive` and its parts, or one `Shared`; a
//!   token is neither `Clone` nor made from another but by `&mut` (a `Shared` from an `Exclusive`, the
//!   halves of a split), for the length of that borrow.
//! - **A2 (held).** While a token exists, the space's lock is held in its mode, by this thread; a
//!   `Shared` may be used by other threads for as long as it is borrowed.
//! - **A3 (heap).** Only `Alloc`, which stays on its thread, touches the mutator's heap.

use core::marker::PhantomData;

use crate::any::GcAny;
use crate::brand::Brand;
use crate::changes::Changes;
use crate::cleaner::{Action, Cleaner};
use crate::error::{AllocError, HeapFull, HeapFullCause, RootError};
use crate::evictable::{measure, Evictable, EvictableRoot};
use crate::eviction::Eviction;
use crate::gc::Gc;
use crate::heap::Heap;
use crate::held;
use crate::ledger::Ledger;
use crate::object::IObject;
use crate::owned_root::OwnedRoot;
use crate::root::GcRoot;
use crate::space::SpaceInner;
use crate::tail::{Slice, Str, Tail, Utf8};
use crate::weak::{GcWeak, WeakCell, WeakRoot};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Exclusive<'_> {}
    impl Sealed for super::Shared<'_> {}
    impl Sealed for super::Alloc<'_> {}
    impl Sealed for super::Cells<'_> {}
}

/// A token that proves access to the space with brand `'gc`: enough to read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no token of an access with this brand",
    note = "reading takes `&Exclusive`, `&Shared` or the `Alloc` half of a split"
)]
pub trait Access<'gc>: sealed::Sealed {
    /// The number of the home of the token's space.
    #[doc(hidden)]
    fn home_id(&self) -> u64;

    /// What `register_cleaner` of the tokens does, for code that is generic in the token.
    #[doc(hidden)]
    fn register_action(&self, object: GcAny<'gc>, action: Action) -> Cleaner;
    #[doc(hidden)]
    fn changes(&self) -> &Changes;
    /// The account of all memory of the space.
    fn ledger(&self) -> &Ledger;

    /// The eviction of the token's space.
    #[doc(hidden)]
    fn eviction(&self) -> &Eviction;

    /// Something that choices of what to evict go by has changed.
    #[doc(hidden)]
    fn note_eviction_change(&self);

    /// A stamp for a touch now.
    #[doc(hidden)]
    fn stamp(&self) -> u64;

    /// Makes a root of an object.
    #[doc(hidden)]
    fn root_of<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> GcRoot<T::R>;
}

/// A token with which cells can be borrowed: [`Exclusive`], [`Shared`], [`Cells`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot borrow cells",
    note = "cells are borrowed with `&Exclusive`, `&Shared` or the `Cells` half of a split; the `Alloc` half borrows none"
)]
pub trait CellAccess<'gc>: sealed::Sealed {}

/// A token with which cells can be borrowed mutably: [`Exclusive`], [`Cells`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot borrow cells mutably",
    note = "changing a cell takes `&mut Exclusive` or the `Cells` half of a split: an exclusive access"
)]
pub trait CellAccessMut<'gc>: CellAccess<'gc> {}

/// A token of an exclusive access: [`Exclusive`], [`Alloc`].
pub trait ExclusiveAccess<'gc>: Access<'gc> {}

/// Exclusive access to a space: read, allocate, change.
///
/// Dereferences to [`Alloc`], which has the methods that allocate and make handles. Stays on its
/// thread.
pub struct Exclusive<'gc> {
    alloc: Alloc<'gc>,
    cells: Cells<'gc>,
    shared: Shared<'gc>,
}

/// The half of an exclusive access that allocates, makes handles, and reads and sets slots.
///
/// Got from [`Exclusive::split`], or without splitting through `Exclusive`'s `Deref`.
pub struct Alloc<'gc> {
    space: *const SpaceInner,
    heap: *mut Heap,
    brand: Brand<'gc>,
}

/// The half of an exclusive access that borrows cells. Got from [`Exclusive::split`].
pub struct Cells<'gc> {
    brand: Brand<'gc>,
    /// Neither `Send` nor `Sync`, as `Exclusive`.
    local: PhantomData<*mut ()>,
}

/// Shared access to a space: read, by many threads at once.
pub struct Shared<'gc> {
    space: *const SpaceInner,
    brand: Brand<'gc>,
}

// SAFETY: a shared token reads only; the lock's shared mode, or the exclusive one whose token is
// mutably borrowed, excludes writers for as long as it is borrowed (A1, A2). What it makes (roots)
// goes through a mutex.
unsafe impl Sync for Shared<'_> {}

impl<'gc> Exclusive<'gc> {
    /// # Safety
    ///
    /// The caller holds the space exclusively on this thread for as long as the token exists, makes no
    /// second token for the brand, and `space` stays put meanwhile (A1, A2).
    #[inline(always)]
    pub(crate) unsafe fn new(space: &SpaceInner) -> Exclusive<'gc> {
        Exclusive {
            alloc: Alloc { space, heap: space.heap(), brand: PhantomData },
            cells: Cells { brand: PhantomData, local: PhantomData },
            shared: Shared { space, brand: PhantomData },
        }
    }

    /// Splits the access into a half that allocates and a half that borrows cells, so that one can
    /// allocate while a cell is borrowed mutably.
    #[inline]
    pub fn split(&mut self) -> (&Alloc<'gc>, &mut Cells<'gc>) {
        (&self.alloc, &mut self.cells)
    }

    /// Makes an evictable reference to an object: one that the space keeps while it can afford to. It stands for
    /// as many bytes as the object takes, and as its type reports with
    /// [`report_bytes`](crate::Visitor::report_bytes).
    ///
    /// Making it touches it. It takes 32 bytes of the heap, which are not counted.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc); and if the object's `visit_objects` panics, which is called to measure it.
    // Not on `Alloc`: beside that half a cell of the object may be borrowed mutably, which must not be visited.
    #[inline]
    #[track_caller]
    pub fn evictable<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> Evictable<'gc, T> {
        // SAFETY: changing an object takes the token mutably, or its halves, which borrow it mutably.
        let bytes = unsafe { measure(object) };
        self.evictable_with_size(object, bytes)
    }

    /// Makes an evictable reference to an object that can be kept outside of the heap, on any thread.
    ///
    /// # Panics
    ///
    /// As [`evictable`](Exclusive::evictable).
    #[inline]
    #[track_caller]
    pub fn evictable_root<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> EvictableRoot<T::R> {
        // SAFETY: the token proves that the lock is held (A2).
        unsafe { EvictableRoot::new(self.inner(), self.evictable(object)) }
    }

    /// Lends this access as a shared one, for code that only reads, and for
    /// [`fan_out`](Shared::fan_out).
    #[inline]
    pub fn as_shared(&mut self) -> &Shared<'gc> {
        &self.shared
    }
}

impl<'gc> core::ops::Deref for Exclusive<'gc> {
    type Target = Alloc<'gc>;
    #[inline(always)]
    fn deref(&self) -> &Alloc<'gc> {
        &self.alloc
    }
}

macro_rules! access {
    ($($stamp:ident $token:ident . $($space:ident).+),*) => { $(
        impl<'gc> Access<'gc> for $token<'gc> {
            #[inline(always)]
            fn home_id(&self) -> u64 {
                // SAFETY: the space stays put while its token exists, which proves that the lock is held (A2).
                unsafe { (*self.$($space).+).home().id() }
            }
            fn register_action(&self, object: GcAny<'gc>, action: Action) -> Cleaner {
                // SAFETY: as above; the token proves that the lock is held.
                let cleanups = unsafe { &(*self.$($space).+).counters().cleanups };
                let cleaner = Cleaner::register(cleanups, object, action);
                self.changes().note_and_wake();
                cleaner
            }
            fn changes(&self) -> &Changes {
                // SAFETY: the space stays put while its token exists (A2).
                unsafe { (*self.$($space).+).changes() }
            }
            fn ledger(&self) -> &Ledger {
                // SAFETY: as above; the token proves that the lock is held, so the record stays.
                unsafe { &(*self.$($space).+).home().ledger }
            }
            #[inline(always)]
            fn eviction(&self) -> &Eviction {
                // SAFETY: as above.
                unsafe { (*self.$($space).+).eviction() }
            }
            fn note_eviction_change(&self) {
                // SAFETY: as above.
                unsafe { (*self.$($space).+).note_eviction_change() }
            }
            #[inline(always)]
            fn stamp(&self) -> u64 {
                self.eviction().floor.$stamp()
            }
            fn root_of<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> GcRoot<T::R> {
                // SAFETY: as above; the token proves that the lock is held (A2).
                unsafe { GcRoot::new(&*self.$($space).+, object) }
            }
        }
    )* };
}
access!(
    stamp_exclusive Exclusive.alloc.space,
    stamp_exclusive Alloc.space,
    stamp Shared.space
);

impl<'gc> CellAccess<'gc> for Exclusive<'gc> {}
impl<'gc> CellAccess<'gc> for Shared<'gc> {}
impl<'gc> CellAccess<'gc> for Cells<'gc> {}
impl<'gc> CellAccessMut<'gc> for Exclusive<'gc> {}
impl<'gc> CellAccessMut<'gc> for Cells<'gc> {}
impl<'gc> ExclusiveAccess<'gc> for Exclusive<'gc> {}
impl<'gc> ExclusiveAccess<'gc> for Alloc<'gc> {}

impl<'gc> Alloc<'gc> {
    #[inline(always)]
    pub(crate) fn inner(&self) -> &SpaceInner {
        // SAFETY: the space stays put while its token exists (A2).
        unsafe { &*self.space }
    }

    /// Whether an incremental mark is under way.
    #[inline(always)]
    pub(crate) fn is_marking(&self) -> bool {
        self.inner().incremental().is_under_way()
    }

    /// Puts a value into the space (ceda's `$new` and `RegisterGcObject`).
    ///
    /// # Panics
    ///
    /// If there is no room: the space's `max_heap_bytes` would be passed, or the system has no
    /// memory. Such a panic does not poison the space; nor, if it is caught within the scope, does another one that
    /// leaves it. To handle it, use [`try_alloc`](Alloc::try_alloc).
    #[inline(always)]
    #[track_caller]
    pub fn alloc<T: IObject<'gc> + 'gc>(&self, value: T) -> Gc<'gc, T> {
        // SAFETY: the token proves the exclusive lock (A2, A3); the cell is written at once.
        match unsafe { Heap::allocate::<T>(self.heap) } {
            Ok(cell) => {
                // SAFETY: a fresh cell for a `T`.
                unsafe {
                    cell.cast::<T>().write(value);
                    Gc::from_address(cell)
                }
            }
            Err(full) => self.heap_full(full),
        }
    }

    /// Puts a value into the space, or gives it back if there is no room.
    ///
    /// Nothing can be collected inside an access. The protocol is: leave it, collect, enter again and
    /// try once more; then report.
    #[inline]
    pub fn try_alloc<T: IObject<'gc> + 'gc>(&self, value: T) -> Result<Gc<'gc, T>, AllocError<T>> {
        // SAFETY: as in `alloc`.
        match unsafe { Heap::allocate::<T>(self.heap) } {
            // SAFETY: a fresh cell for a `T`.
            Ok(cell) => unsafe {
                cell.cast::<T>().write(value);
                Ok(Gc::from_address(cell))
            },
            Err(cause) => Err(AllocError { value, cause }),
        }
    }

    /// Puts a header and `len` elements into the space as one object.
    ///
    /// `element` makes the elements in order and may use the access. If it panics, those made so far
    /// are dropped with the object, by the collector.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc).
    #[inline(always)]
    #[track_caller]
    pub fn alloc_tail<H, E>(
        &self,
        header: H,
        len: usize,
        element: impl FnMut(usize) -> E,
    ) -> Gc<'gc, Tail<H, E>>
    where
        H: IObject<'gc> + 'gc,
        E: IObject<'gc> + 'gc,
    {
        match self.try_alloc_tail(header, len, element) {
            Ok(object) => object,
            Err(error) => self.heap_full(error.cause),
        }
    }

    /// As [`alloc_tail`](Alloc::alloc_tail), or gives the header back if there is no room.
    #[inline(always)]
    pub fn try_alloc_tail<H, E>(
        &self,
        header: H,
        len: usize,
        mut element: impl FnMut(usize) -> E,
    ) -> Result<Gc<'gc, Tail<H, E>>, AllocError<H>>
    where
        H: IObject<'gc> + 'gc,
        E: IObject<'gc> + 'gc,
    {
        /// Says how many elements there are, also when making the next one panics (T1).
        struct Made<H, E> {
            base: *mut Tail<H, E>,
            count: usize,
        }
        impl<H, E> Drop for Made<H, E> {
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: the object is being made by the function below.
                unsafe { Tail::set_len(self.base, self.count) };
            }
        }
        let base = match self.tail_cell::<H, E>(len) {
            Ok(base) => base,
            Err(cause) => return Err(AllocError { value: header, cause }),
        };
        // SAFETY: a fresh cell with room for the header and `len` elements; the header makes it an
        // object with no elements yet (H2, T1) before user code runs.
        unsafe {
            Tail::write_header(base, header, 0);
            let elements = Tail::elements(base);
            let mut made = Made { base, count: 0 };
            while made.count < len {
                elements.add(made.count).write(element(made.count));
                made.count += 1;
            }
            drop(made);
            Ok(Gc::from_address(base.cast()))
        }
    }

    /// Puts a header and a copy of `elements` into the space as one object.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc).
    #[inline(always)]
    #[track_caller]
    pub fn alloc_tail_copy<H, E>(&self, header: H, elements: &[E]) -> Gc<'gc, Tail<H, E>>
    where
        H: IObject<'gc> + 'gc,
        E: IObject<'gc> + Copy + 'gc,
    {
        match self.try_alloc_tail_copy(header, elements) {
            Ok(object) => object,
            Err(error) => self.heap_full(error.cause),
        }
    }

    /// As [`alloc_tail_copy`](Alloc::alloc_tail_copy), or gives the header back if there is no room.
    #[inline(always)]
    pub fn try_alloc_tail_copy<H, E>(
        &self,
        header: H,
        elements: &[E],
    ) -> Result<Gc<'gc, Tail<H, E>>, AllocError<H>>
    where
        H: IObject<'gc> + 'gc,
        E: IObject<'gc> + Copy + 'gc,
    {
        let base = match self.tail_cell::<H, E>(elements.len()) {
            Ok(base) => base,
            Err(cause) => return Err(AllocError { value: header, cause }),
        };
        // SAFETY: a fresh cell with room for the header and the elements.
        unsafe {
            Tail::write_header(base, header, elements.len());
            core::ptr::copy_nonoverlapping(elements.as_ptr(), Tail::elements(base), elements.len());
            Ok(Gc::from_address(base.cast()))
        }
    }

    /// Puts `len` elements into the space.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc).
    #[inline]
    #[track_caller]
    pub fn alloc_slice<E: IObject<'gc> + 'gc>(
        &self,
        len: usize,
        element: impl FnMut(usize) -> E,
    ) -> Gc<'gc, Slice<E>> {
        self.alloc_tail((), len, element)
    }

    /// Puts a copy of `elements` into the space.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc).
    #[inline]
    #[track_caller]
    pub fn alloc_slice_copy<E: IObject<'gc> + Copy + 'gc>(
        &self,
        elements: &[E],
    ) -> Gc<'gc, Slice<E>> {
        self.alloc_tail_copy((), elements)
    }

    /// As [`alloc_slice`](Alloc::alloc_slice), or an error if there is no room.
    #[inline]
    pub fn try_alloc_slice<E: IObject<'gc> + 'gc>(
        &self,
        len: usize,
        element: impl FnMut(usize) -> E,
    ) -> Result<Gc<'gc, Slice<E>>, HeapFull> {
        self.try_alloc_tail((), len, element).map_err(|error| error.cause)
    }

    /// As [`alloc_slice_copy`](Alloc::alloc_slice_copy), or an error if there is no room.
    #[inline]
    pub fn try_alloc_slice_copy<E: IObject<'gc> + Copy + 'gc>(
        &self,
        elements: &[E],
    ) -> Result<Gc<'gc, Slice<E>>, HeapFull> {
        self.try_alloc_tail_copy((), elements).map_err(|error| error.cause)
    }

    /// Puts a copy of a text into the space.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc).
    #[inline]
    #[track_caller]
    pub fn alloc_str(&self, text: &str) -> Gc<'gc, Str> {
        self.alloc_tail_copy(Utf8::VALID, text.as_bytes())
    }

    /// As [`alloc_str`](Alloc::alloc_str), or an error if there is no room.
    #[inline]
    pub fn try_alloc_str(&self, text: &str) -> Result<Gc<'gc, Str>, HeapFull> {
        self.try_alloc_tail_copy(Utf8::VALID, text.as_bytes()).map_err(|error| error.cause)
    }

    #[inline(always)]
    fn tail_cell<H, E>(&self, len: usize) -> Result<*mut Tail<H, E>, HeapFull>
    where
        H: IObject<'gc> + 'gc,
        E: IObject<'gc> + 'gc,
    {
        let Some(bytes) = Tail::<H, E>::bytes(len) else {
            return Err(HeapFull { requested: len, cause: HeapFullCause::TooLarge });
        };
        // SAFETY: the token proves the exclusive lock (A2, A3); callers write header and length at
        // once.
        unsafe { Heap::allocate_tail::<Tail<H, E>>(self.heap, bytes) }.map(|cell| cell.cast())
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn heap_full(&self, full: HeapFull) -> ! {
        // The objects are as they were: no reason to poison.
        self.inner().note_harmless_panic();
        panic!("{full}")
    }

    /// Makes a root of an object: a handle that keeps it alive between accesses.
    #[inline]
    pub fn root<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> GcRoot<T::R> {
        // SAFETY: the token proves that the lock is held (A2).
        unsafe { GcRoot::new(self.inner(), object) }
    }

    /// Makes a weak reference to an object.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc): a weak reference takes 16 bytes of the heap.
    #[inline]
    #[track_caller]
    pub fn downgrade<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> GcWeak<'gc, T> {
        GcWeak::new(self.alloc(WeakCell::new(object)))
    }

    /// Makes a weak reference to an object, if the heap has 16 bytes left for it.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Alloc::try_alloc).
    #[inline]
    pub fn try_downgrade<T: IObject<'gc>>(
        &self,
        object: Gc<'gc, T>,
    ) -> Result<GcWeak<'gc, T>, HeapFull> {
        match self.try_alloc(WeakCell::new(object)) {
            Ok(cell) => Ok(GcWeak::new(cell)),
            Err(error) => Err(error.cause),
        }
    }

    /// Makes a weak reference to an object that can be kept outside of the heap, on any thread.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc): a weak reference takes 16 bytes of the heap.
    #[inline]
    #[track_caller]
    pub fn weak_root<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> WeakRoot<T::R> {
        // SAFETY: the token proves that the lock is held (A2).
        unsafe { WeakRoot::new(self.inner(), self.downgrade(object)) }
    }

    /// Makes an evictable reference to an object that stands for `bytes` bytes, whatever the object's size is. As
    /// [`evictable`](Exclusive::evictable), for when the size is known, or a cell is borrowed.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Alloc::alloc): an evictable reference takes 32 bytes of the heap.
    #[inline]
    #[track_caller]
    pub fn evictable_with_size<T: IObject<'gc>>(
        &self,
        object: Gc<'gc, T>,
        bytes: usize,
    ) -> Evictable<'gc, T> {
        let cell = self.alloc(Evictable::cell(object, self.stamp(), bytes));
        self.note_new_evictable();
        Evictable::new(cell)
    }

    /// As [`evictable_with_size`](Alloc::evictable_with_size), if the heap has 32 bytes left for it.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Alloc::try_alloc).
    #[inline]
    pub fn try_evictable_with_size<T: IObject<'gc>>(
        &self,
        object: Gc<'gc, T>,
        bytes: usize,
    ) -> Result<Evictable<'gc, T>, HeapFull> {
        match self.try_alloc(Evictable::cell(object, self.stamp(), bytes)) {
            Ok(cell) => {
                self.note_new_evictable();
                Ok(Evictable::new(cell))
            }
            Err(error) => Err(error.cause),
        }
    }

    /// There is a new evictable reference. No cycle chooses meanwhile, so one note is enough for many.
    #[inline]
    fn note_new_evictable(&self) {
        if !self.inner().eviction().has_changed() {
            self.note_eviction_change();
        }
    }

    /// Makes a value that lives outside of the heap and holds handles an [`OwnedRoot`] of this space
    /// (ceda's `RegisterNonGcObject`). It is no object of the heap: `num_objects` does not count it.
    pub fn own_root<T: IObject<'gc> + 'gc>(&self, value: T) -> OwnedRoot<T::R> {
        // SAFETY: the token proves that the lock is held (A2).
        unsafe { OwnedRoot::new(self.inner(), value) }
    }

    /// Runs `action` once when the object has died: see [`Cleaner`].
    pub fn register_cleaner(
        &self,
        object: impl Into<GcAny<'gc>>,
        action: impl FnOnce() + Send + 'static,
    ) -> Cleaner {
        self.register_action(object.into(), Box::new(action))
    }

    /// Puts an object into the set of roots, until it is removed (ceda's `AddGcRoot`). A
    /// [`GcRoot`] is usually what you want.
    ///
    /// # Errors
    ///
    /// If the object is in the set already.
    pub fn add_gc_root<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> Result<(), RootError> {
        // SAFETY: the token proves the exclusive lock, and stays on this thread.
        let added = unsafe { self.inner().root_set() }.insert(object.address());
        added.then_some(()).ok_or(RootError::AlreadyRoot)
    }

    /// Takes an object out of the set of roots (ceda's `RemoveGcRoot`).
    ///
    /// # Errors
    ///
    /// If the object is not in the set.
    pub fn remove_gc_root<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> Result<(), RootError> {
        // SAFETY: as above.
        let removed = unsafe { self.inner().root_set() }.remove(object.address());
        removed.then_some(()).ok_or(RootError::NotARoot)
    }

    /// Whether somebody wants this thread to come to a safepoint: the budget was passed, a collection
    /// was requested, another thread waits for the lock. One load; poll it in loops.
    #[inline(always)]
    pub fn should_yield(&self) -> bool {
        self.inner().want().is_raised()
    }

    /// Asks for a collection at the next safepoint.
    pub fn request_gc(&self) {
        self.inner().requests().request();
    }

    /// How many objects the space has: those alive at the last collection, and those made since.
    pub fn num_objects(&self) -> usize {
        // SAFETY: the token proves the exclusive lock.
        unsafe { self.inner().count_objects() }
    }
}

impl<'gc> Shared<'gc> {
    /// # Safety
    ///
    /// The caller holds the space for as long as the token exists, and makes no second token for the
    /// brand (A1, A2).
    #[inline(always)]
    pub(crate) unsafe fn new(space: &SpaceInner) -> Shared<'gc> {
        Shared { space, brand: PhantomData }
    }

    #[inline]
    pub(crate) fn inner(&self) -> &SpaceInner {
        // SAFETY: the space stays put while its token exists (A2).
        unsafe { &*self.space }
    }

    /// Makes a root of an object: a handle that keeps it alive between accesses.
    #[inline]
    pub fn root<T: IObject<'gc>>(&self, object: Gc<'gc, T>) -> GcRoot<T::R> {
        // SAFETY: the token proves that the lock is held (A2).
        unsafe { GcRoot::new(self.inner(), object) }
    }

    /// Runs `action` once when the object has died: see [`Cleaner`].
    pub fn register_cleaner(
        &self,
        object: impl Into<GcAny<'gc>>,
        action: impl FnOnce() + Send + 'static,
    ) -> Cleaner {
        self.register_action(object.into(), Box::new(action))
    }

    /// How many objects the space has.
    pub fn num_objects(&self) -> usize {
        // SAFETY: the token proves that nobody has the lock exclusively but this thread, if anybody;
        // reading the cursors races with nothing.
        unsafe { self.inner().count_objects() }
    }

    /// Runs tasks on threads of their own, all with this access, and returns their results in order.
    ///
    /// The space is noted as held on each thread: locking it there is an error, not a deadlock.
    ///
    /// # Panics
    ///
    /// If a task panics, after all have ended.
    pub fn fan_out<R: Send, F: FnOnce(&Shared<'gc>) -> R + Send>(
        &self,
        tasks: impl IntoIterator<Item = F>,
    ) -> Vec<R> {
        let id = self.inner().id();
        std::thread::scope(|threads| {
            let running: Vec<_> = tasks
                .into_iter()
                .map(|task| {
                    threads.spawn(move || {
                        let noted = held::note(id, false).is_ok();
                        struct Forget(Option<u64>);
                        impl Drop for Forget {
                            fn drop(&mut self) {
                                if let Some(id) = self.0 {
                                    held::forget(id);
                                }
                            }
                        }
                        let _forget = Forget(noted.then_some(id));
                        task(self)
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }
}
