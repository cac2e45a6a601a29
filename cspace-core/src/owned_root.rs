//! Owned roots: plain Rust values outside of the heap that hold handles.
//!
//! The value lives in a cell of its own, registered with the space. The handle's drop may come
//! from any thread, while the collector is visiting the value, so it only sets a flag; the content
//! is dropped by the collector after its next finish, off the lock, or by the space when it goes, or
//! by the handle if the space has gone.
//!
//! - **O1 (access).** The value is reached through the handle and a token of its space, by the
//!   collector while it holds the space, and, once both sides have let go (P3), by whoever frees it.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use crate::access::{Access, ExclusiveAccess};
use crate::brand::Family;
use crate::changes::Changes;
use crate::error::WrongSpace;
use crate::home;
use crate::list::has_room;
use crate::nesting::drop_value;
use crate::object::{IObject, Rootable};
use crate::pile::Pile;
use crate::protocol::OwnedState;
use crate::space::SpaceInner;
use crate::sync::AtomicU64;
use crate::visitor::Visitor;

#[repr(C)]
pub(crate) struct OwnedHeader {
    state: OwnedState,
    /// The number of the value's home, as far as it is known: as that of a root's entry.
    home: AtomicU64,
    /// Of the space that made the handle: told when the handle is gone, if the value is still that space's.
    changes: Arc<Changes>,
    visit: unsafe fn(NonNull<OwnedHeader>, &mut Visitor<'_>),
    free: unsafe fn(NonNull<OwnedHeader>),
}

#[repr(C)]
struct OwnedCell<T> {
    header: OwnedHeader,
    value: UnsafeCell<T>,
}

/// An owned cell that the space knows.
#[derive(Clone, Copy)]
pub(crate) struct OwnedRef(NonNull<OwnedHeader>);

// SAFETY: contents are `Send` and `Sync` (they are objects); who may touch them says O1.
unsafe impl Send for OwnedRef {}

/// The owned cells of a space.
#[derive(Default)]
pub(crate) struct OwnedList(Pile<OwnedRef>);

impl OwnedList {
    /// Whether no handle exists whose cell was not taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cells whose handles exist; none if there is no memory. These name the home `home` afterwards; the caller is the
    /// collector of the space whose home that is.
    pub(crate) fn live(&self, home: u64) -> Option<Vec<OwnedRef>> {
        let mut cells = Vec::new();
        if !has_room(&mut cells, self.0.len()) {
            return None;
        }
        let is_live = |cell: &&OwnedRef| {
            // SAFETY: listed cells are not freed.
            let header = unsafe { cell.0.as_ref() };
            header.home.store(home, Relaxed);
            !header.state.is_handle_dropped()
        };
        cells.extend(self.0.iter().filter(is_live));
        Some(cells)
    }

    /// Makes room for what another list has, to take it over.
    pub(crate) fn prepare(&mut self, other: &mut OwnedList) {
        self.0.prepare(&mut other.0);
    }

    /// Takes over the cells of another space's list.
    pub(crate) fn absorb(&mut self, other: &mut OwnedList) {
        self.0.absorb(&mut other.0);
    }

    /// Takes out the cells whose handles are gone.
    pub(crate) fn take_dropped(&mut self) -> Vec<DroppedCell> {
        let mut dropped = Vec::new();
        self.0.retain(|cell| {
            // SAFETY: listed cells are not freed.
            let gone = unsafe { cell.0.as_ref() }.state.is_handle_dropped();
            if gone {
                dropped.push(DroppedCell(cell.0));
            }
            !gone
        });
        dropped
    }

    /// Lets go of all cells: the space is gone.
    pub(crate) fn release_all(&mut self) -> Vec<DroppedCell> {
        let cells = core::mem::take(&mut self.0).into_vec();
        // SAFETY: listed cells are not freed before both sides let go (P3).
        cells
            .into_iter()
            .filter(|cell| unsafe { cell.0.as_ref() }.state.space_gone())
            .map(|cell| DroppedCell(cell.0))
            .collect()
    }
}

/// An owned cell that both sides have let go of. Dropping this drops the content: user code.
pub(crate) struct DroppedCell(NonNull<OwnedHeader>);

// SAFETY: contents are `Send`.
unsafe impl Send for DroppedCell {}

impl Drop for DroppedCell {
    fn drop(&mut self) {
        // SAFETY: both sides have let go (P3): nobody else has the address.
        unsafe { (self.0.as_ref().free)(self.0) };
    }
}

impl OwnedRef {
    /// Visits the content.
    ///
    /// # Safety
    ///
    /// The collector holds the space, so that nobody has access to the content for writing (O1).
    pub(crate) unsafe fn visit(self, visitor: &mut Visitor<'_>) {
        // SAFETY: listed cells are not freed while the collector holds the space; the function is
        // the one made for the content's type.
        unsafe { (self.0.as_ref().visit)(self.0, visitor) };
    }
}

/// # Safety
///
/// `cell` heads an `OwnedCell<T>`, and nobody writes its content meanwhile.
unsafe fn visit_cell<'gc, T: IObject<'gc>>(cell: NonNull<OwnedHeader>, visitor: &mut Visitor<'_>) {
    // SAFETY: the caller's promise.
    let value = unsafe { &*(*cell.cast::<OwnedCell<T>>().as_ptr()).value.get() };
    value.visit_objects(visitor);
}

/// # Safety
///
/// `cell` heads an `OwnedCell<T>` from a box that nobody uses any more.
unsafe fn free_cell<'gc, T: IObject<'gc>>(cell: NonNull<OwnedHeader>) {
    // Freed also if the drop of the content panics.
    // SAFETY: the caller's promise; `ManuallyDrop` has the layout of what is in it.
    let cell = unsafe { Box::from_raw(cell.cast::<OwnedCell<ManuallyDrop<T>>>().as_ptr()) };
    // SAFETY: the content is initialised, and nobody uses it again.
    unsafe { drop_value(cell.value.get().cast::<T>()) };
}

/// A plain Rust value outside of the heap that may hold handles: an interpreter's stacks, frames
/// and tables (ceda's `RegisterNonGcObject`).
///
/// Made by `cx.own_root(value)`. It is traced in every collection, and never destroyed by the space
/// while the handle lives. [`get_mut`](OwnedRoot::get_mut) gives the value as `&mut` beside the
/// token, so that a hot loop works on plain `Vec`s and still allocates; a guard's `scope_mut` does
/// both in one step.
///
/// ```
/// use cspace_core::{Gc, IObject, OwnedRoot, Rootable, Space};
///
/// #[derive(IObject)]
/// #[cspace(crate = cspace_core)]
/// struct Machine<'gc> {
///     stack: Vec<Gc<'gc, String>>,
/// }
///
/// let space = Space::builder().build()?;
/// let mut lock = space.lock();
/// let mut machine: OwnedRoot<Rootable![Machine<'_>]> =
///     lock.scope(|cx| cx.own_root(Machine { stack: Vec::new() }));
/// lock.scope_mut(&mut machine, |cx, machine| {
///     machine.stack.push(cx.alloc("pushed".to_string()));
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct OwnedRoot<R: Rootable> {
    cell: NonNull<OwnedHeader>,
    family: Family<R>,
}

// SAFETY: the content is `Send` and `Sync`, being an object, and reached as O1 says.
unsafe impl<R: Rootable> Send for OwnedRoot<R> {}
// SAFETY: as above; `&OwnedRoot` gives `&` to the content, with a token.
unsafe impl<R: Rootable> Sync for OwnedRoot<R> {}

impl<R: Rootable> OwnedRoot<R> {
    /// # Safety
    ///
    /// The space's lock is held, in whatever mode.
    pub(crate) unsafe fn new<'gc, T: IObject<'gc, R = R>>(
        space: &SpaceInner,
        value: T,
    ) -> OwnedRoot<R> {
        // SAFETY: the caller's promise.
        let home = unsafe { space.home() }.id();
        let cell = Box::new(OwnedCell {
            header: OwnedHeader {
                state: OwnedState::new(),
                home: AtomicU64::new(home),
                changes: Arc::clone(&space.counters().changes),
                visit: visit_cell::<T>,
                free: free_cell::<T>,
            },
            value: UnsafeCell::new(value),
        });
        let cell: NonNull<OwnedHeader> = NonNull::from(Box::leak(cell)).cast();
        space.handles().owned.lock().0.push(OwnedRef(cell));
        OwnedRoot { cell, family: PhantomData }
    }

    fn is_at_home(&self, home: u64) -> bool {
        // SAFETY: the cell is there as long as its handle.
        home::is_same(unsafe { &(*self.cell.as_ptr()).home }, home)
    }

    /// The value, to read.
    ///
    /// # Panics
    ///
    /// If the value belongs to another space; [`try_get`](OwnedRoot::try_get) returns that as an error.
    #[inline]
    #[track_caller]
    pub fn get<'a, 'gc: 'a>(&'a self, cx: &impl Access<'gc>) -> &'a R::At<'gc> {
        match self.try_get(cx) {
            Ok(value) => value,
            Err(WrongSpace) => wrong_space(),
        }
    }

    /// The value, to read, or an error if it belongs to another space.
    #[inline]
    pub fn try_get<'a, 'gc: 'a>(
        &'a self,
        cx: &impl Access<'gc>,
    ) -> Result<&'a R::At<'gc>, WrongSpace> {
        if !self.is_at_home(cx.home_id()) {
            return Err(WrongSpace);
        }
        // SAFETY: the cell holds the family's type; the token keeps the collector out, and `&self`
        // everybody who would write (O1, M1).
        Ok(unsafe { &*(*self.cell.cast::<OwnedCell<R::At<'gc>>>().as_ptr()).value.get() })
    }

    /// The value, to change, beside the token: `cx` stays usable.
    ///
    /// # Panics
    ///
    /// If the value belongs to another space; [`try_get_mut`](OwnedRoot::try_get_mut) returns that as an error.
    #[inline]
    #[track_caller]
    pub fn get_mut<'a, 'gc: 'a>(
        &'a mut self,
        cx: &impl ExclusiveAccess<'gc>,
    ) -> &'a mut R::At<'gc> {
        match self.try_get_mut(cx) {
            Ok(value) => value,
            Err(WrongSpace) => wrong_space(),
        }
    }

    /// The value, to change, or an error if it belongs to another space.
    #[inline]
    pub fn try_get_mut<'a, 'gc: 'a>(
        &'a mut self,
        cx: &impl ExclusiveAccess<'gc>,
    ) -> Result<&'a mut R::At<'gc>, WrongSpace> {
        if !self.is_at_home(cx.home_id()) {
            return Err(WrongSpace);
        }
        // SAFETY: as in `try_get`; the handle is borrowed uniquely for as long as the reference, and
        // `'gc`, which bounds it, ends with the access.
        Ok(unsafe { &mut *(*self.cell.cast::<OwnedCell<R::At<'gc>>>().as_ptr()).value.get() })
    }
}

#[cold]
#[track_caller]
fn wrong_space() -> ! {
    panic!("this OwnedRoot belongs to another space; use it in an access to the space that made it, or that it was merged into");
}

impl<R: Rootable> Drop for OwnedRoot<R> {
    fn drop(&mut self) {
        // SAFETY: the cell is freed only when both sides have let go (P3): as soon as the handle has, maybe by the space.
        let (changes, home) = unsafe {
            let header = self.cell.as_ref();
            (Arc::clone(&header.changes), header.home.load(Relaxed))
        };
        // SAFETY: as above; the handle lets go here.
        if unsafe { self.cell.as_ref() }.state.handle_dropped() {
            drop(DroppedCell(self.cell));
            return;
        }
        home::note_dropped(&changes, &AtomicU64::new(home));
    }
}

impl<R: Rootable> fmt::Debug for OwnedRoot<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRoot").finish_non_exhaustive()
    }
}
