//! What contexts and configurations have in common: memory, things in it that have names, and cleanups.
//!
//! - **NC1 (placed).** What a handle of an owner's number names lies in the owner's memory, initialised, until the owner
//!   ends: its cleanups have run then, and its number is nobody's.

use core::alloc::Layout;
use core::any::TypeId;
use core::fmt;
use core::ptr::NonNull;

use bytemuck::Zeroable;
use cspace_core::Charge;

use super::handle::{next_owner, ContextHandle, WrongContext};
use crate::bump::{Bump, NativeError};
use crate::chain::Chain;
use crate::cleanup::Cleanups;
use crate::span::Span;

/// There was no memory for a value, which comes back.
pub struct MakeError<T> {
    /// The value.
    pub value: T,
    /// Why there was none.
    pub cause: NativeError,
}

impl<T> fmt::Debug for MakeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for MakeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<T> std::error::Error for MakeError<T> {}

/// A named object is of another type than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the object `{name}` is a `{found}`, not a `{wanted}`")]
pub struct TypeMismatch {
    /// The object's name.
    pub name: String,
    /// Its type.
    pub found: &'static str,
    /// The type that was asked for.
    pub wanted: &'static str,
}

#[derive(Clone, Copy)]
struct Named {
    name: NonNull<str>,
    type_id: TypeId,
    type_name: &'static str,
    place: NonNull<u8>,
}

/// Memory with an owner's number.
pub(super) struct Store {
    pub(super) bump: Bump,
    /// Listed in the memory, as the names are: what counts with the memory is charged with it.
    pub(super) cleanups: Cleanups,
    named: Chain<Named>,
    pub(super) owner: u64,
}

// SAFETY: all that is put in is `Send`.
unsafe impl Send for Store {}

impl Store {
    pub(super) fn new(charge: Charge) -> Store {
        let bump = Bump::new(charge, usize::MAX);
        Store { bump, cleanups: Cleanups::default(), named: Chain::default(), owner: next_owner() }
    }

    pub(super) fn check<T: ?Sized>(&self, handle: &ContextHandle<T>) -> Result<(), WrongContext> {
        if handle.owner == self.owner {
            Ok(())
        } else {
            Err(WrongContext)
        }
    }

    fn handle<T: ?Sized>(&self, place: NonNull<T>) -> ContextHandle<T> {
        ContextHandle::new(self.owner, place)
    }

    pub(super) fn get<T: ?Sized>(&self, handle: ContextHandle<T>) -> Result<&T, WrongContext> {
        self.check(&handle)?;
        // SAFETY: initialised as long as the owner (NC1), which is borrowed; changed through a mutable borrow of it only.
        Ok(unsafe { handle.place.as_ref() })
    }

    pub(super) fn get_mut<T: ?Sized>(
        &mut self,
        mut handle: ContextHandle<T>,
    ) -> Result<&mut T, WrongContext> {
        self.check(&handle)?;
        // SAFETY: as above; the owner is borrowed mutably, and things in it do not overlap.
        Ok(unsafe { handle.place.as_mut() })
    }

    pub(super) fn alloc_span<T: Zeroable + Copy + Send + 'static>(
        &mut self,
        len: usize,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        let full = crate::SystemFull { bytes: len.saturating_mul(size_of::<T>()) };
        let layout = Layout::array::<T>(len).map_err(|_| full)?;
        let place = self.bump.allocate(layout)?.cast::<T>();
        Ok(self.handle(NonNull::slice_from_raw_parts(place, len)))
    }

    pub(super) fn localize(&mut self, text: &str) -> Result<ContextHandle<str>, NativeError> {
        let place = self.bump.allocate(Layout::for_value(text))?;
        // SAFETY: so many bytes were just allocated.
        unsafe { place.as_ptr().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        let bytes = NonNull::slice_from_raw_parts(place, text.len());
        // A `str` has the metadata of its bytes.
        let place = NonNull::new(bytes.as_ptr() as *mut str).expect("not null");
        Ok(self.handle(place))
    }

    /// Makes room for the drop of a value, if it has one.
    pub(super) fn reserve_drop<T>(&mut self) -> Result<(), NativeError> {
        // SAFETY: a reset clears the cleanups first; the end runs them, and nobody uses them after (NZ2).
        unsafe { self.cleanups.reserve_drop::<T>(&mut self.bump) }
    }

    /// Makes room for a value and its drop.
    fn room<T>(&mut self) -> Result<NonNull<T>, NativeError> {
        self.reserve_drop::<T>()?;
        Ok(self.bump.allocate(Layout::new::<T>())?.cast())
    }

    /// Puts a value where room was made for it. No other cleanup was registered since.
    fn put<T: Send + 'static>(&mut self, place: NonNull<T>, value: T) -> ContextHandle<T> {
        // SAFETY: room for it alone; it stays until the cleanups run (NC1), and is `Send`.
        unsafe {
            place.write(value);
            self.cleanups.push_drop(place);
        }
        self.handle(place)
    }

    pub(super) fn make<T: Send + 'static>(
        &mut self,
        value: T,
    ) -> Result<ContextHandle<T>, MakeError<T>> {
        match self.room() {
            Ok(place) => Ok(self.put(place, value)),
            Err(cause) => Err(MakeError { value, cause }),
        }
    }

    /// As `make`, with a value that is made when there is room for it.
    pub(super) fn make_by<T: Send + 'static>(
        &mut self,
        make: impl FnOnce() -> T,
    ) -> Result<ContextHandle<T>, NativeError> {
        let place = self.room()?;
        Ok(self.put(place, make()))
    }

    pub(super) fn make_span<T: Send + 'static>(
        &mut self,
        len: usize,
        init: impl FnMut(usize) -> T,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        let full = crate::SystemFull { bytes: len.saturating_mul(size_of::<T>()) };
        let layout = Span::<T>::layout(len).map_err(|_| full)?;
        self.reserve_drop::<T>()?;
        let memory = self.bump.allocate(layout)?;
        // SAFETY: just allocated with its layout, so nobody else's, and zero. The values stay until the cleanups run
        // (NC1), and are `Send`.
        unsafe {
            let span = Span::<T>::new(memory, len);
            span.fill(init);
            self.cleanups.push_drop_span(span);
            Ok(self.handle(span.values()))
        }
    }

    pub(super) fn mark_for_cleanup<F: FnOnce() + Send + 'static>(
        &mut self,
        call: F,
    ) -> Result<(), MakeError<F>> {
        // SAFETY: as in `reserve_drop`.
        let room = unsafe { self.cleanups.reserve(&mut self.bump) };
        match room.and_then(|()| self.bump.allocate(Layout::new::<F>())) {
            Ok(place) => {
                let place = place.cast::<F>();
                // SAFETY: as above.
                unsafe {
                    place.write(call);
                    self.cleanups.push_call(place);
                }
                Ok(())
            }
            Err(cause) => Err(MakeError { value: call, cause }),
        }
    }

    /// Among a few, so one after the other.
    fn find(&self, name: &str) -> Option<Named> {
        // SAFETY: names lie in this memory (NC1).
        self.named.iter().find(|named| unsafe { named.name.as_ref() } == name)
    }

    pub(super) fn named<T: 'static>(
        &self,
        name: &str,
    ) -> Result<Option<ContextHandle<T>>, TypeMismatch> {
        let Some(named) = self.find(name) else { return Ok(None) };
        if named.type_id != TypeId::of::<T>() {
            let wanted = core::any::type_name::<T>();
            return Err(TypeMismatch { name: name.to_owned(), found: named.type_name, wanted });
        }
        Ok(Some(self.handle(named.place.cast())))
    }

    /// Finds what has a name, or makes it. There is room for all of it before `make` is called.
    pub(super) fn obtain_named<T: Send + 'static>(
        &mut self,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> Result<Result<ContextHandle<T>, TypeMismatch>, NativeError> {
        match self.named::<T>(name) {
            Err(mismatch) => return Ok(Err(mismatch)),
            Ok(Some(found)) => return Ok(Ok(found)),
            Ok(None) => {}
        }
        // SAFETY: a reset clears the names first (NZ2).
        unsafe { self.named.reserve(&mut self.bump)? };
        let place = self.room::<T>()?;
        let name = self.localize(name).inspect_err(|_| {
            self.bump.shrink_last(place.cast(), size_of::<T>(), 0);
        })?;
        let made = self.put(place, make());
        let (type_id, type_name) = (TypeId::of::<T>(), core::any::type_name::<T>());
        let place = place.cast();
        self.named.push(Named { name: name.place, type_id, type_name, place });
        Ok(Ok(made))
    }

    /// Ends the owner, and makes the memory another's. The cleanups have run.
    pub(super) fn reset(&mut self, keep: usize) {
        self.owner = next_owner();
        self.cleanups.clear();
        self.named.clear();
        // SAFETY: what was in it was dropped by the cleanups; handles do not fit any more (NC1).
        unsafe { self.bump.reset(keep) };
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.cleanups.run_in_drop();
    }
}
