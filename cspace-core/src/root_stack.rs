//! [`RootStack`]: a value stack for an interpreter.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::hooks::Hooks;
use crate::object::{IObject, Rootable};
use crate::type_info::TypesSeen;
use crate::visitor::Visitor;

/// A stack of values with a fixed capacity, for an [`OwnedRoot`](crate::OwnedRoot).
///
/// An interpreter's loop wants the whole capacity as one slice, with the top in a local of its own
/// ([`as_mut_full`](RootStack::as_mut_full)); it tells the stack its length
/// ([`set_len`](RootStack::set_len)) before it leaves the access. A collection traces the elements below
/// the length and overwrites those above with the filler, so that nothing stale is ever seen.
///
/// ```
/// use cspace_core::{NanBox, RootStack};
///
/// let mut stack = RootStack::new(100, NanBox::NIL);
/// stack.push(NanBox::TRUE);
/// let full = stack.as_mut_full();
/// full[1] = NanBox::from_f64(2.0);
/// stack.set_len(2);
/// assert_eq!(stack.pop(), Some(NanBox::from_f64(2.0)));
/// assert_eq!(stack.len(), 1);
/// ```
pub struct RootStack<T> {
    /// Written above `len` by the collector's finish, when nobody has access.
    elements: Box<[UnsafeCell<T>]>,
    len: usize,
    filler: T,
}

// SAFETY: `&RootStack` reads; the collector writes only while nobody has access.
unsafe impl<T: Send + Sync> Sync for RootStack<T> {}

impl<T: Copy> RootStack<T> {
    /// A stack of length 0 with room for `capacity` elements, all of them `filler`.
    pub fn new(capacity: usize, filler: T) -> RootStack<T> {
        let elements = (0..capacity).map(|_| UnsafeCell::new(filler)).collect();
        RootStack { elements, len: 0, filler }
    }

    /// How many elements there are room for.
    pub fn capacity(&self) -> usize {
        self.elements.len()
    }

    /// Sets how many elements count as being on the stack.
    ///
    /// # Panics
    ///
    /// If `len` is above the capacity.
    #[inline]
    #[track_caller]
    pub fn set_len(&mut self, len: usize) {
        assert!(
            len <= self.elements.len(),
            "a stack of {} elements cannot have {len}",
            self.elements.len()
        );
        self.len = len;
    }

    /// All elements up to the capacity, those above the length included.
    #[inline]
    pub fn as_mut_full(&mut self) -> &mut [T] {
        let (first, count) = (self.elements.as_mut_ptr(), self.elements.len());
        // SAFETY: `UnsafeCell<T>` has the layout of `T`; `&mut self` is unique.
        unsafe { core::slice::from_raw_parts_mut(first.cast(), count) }
    }

    /// Puts an element on top.
    ///
    /// # Panics
    ///
    /// If the stack is full.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, element: T) {
        assert!(self.len < self.elements.len(), "a stack of {} elements is full", self.len);
        *self.elements[self.len].get_mut() = element;
        self.len += 1;
    }

    /// Takes the top element.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        Some(*self.elements[self.len].get_mut())
    }

    /// Drops all but the first `len` elements; does nothing if there are fewer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// Overwrites what lies above a stack's length.
///
/// # Safety
///
/// `stack` is a `RootStack<T>` visited in this cycle; this is its finish.
unsafe fn clear_above<T>(stack: *const ()) {
    // SAFETY: nobody has access in the finish, and the stack was reachable, so it is there.
    let stack = unsafe { &*stack.cast::<RootStack<T>>() };
    // Elements without size hold nothing, and there may be any number of them.
    if size_of::<T>() == 0 {
        return;
    }
    for element in &stack.elements[stack.len..] {
        // SAFETY: as above: nobody reads meanwhile. Only a `Copy` type has a constructor for its
        // stack, so the filler may be copied and what it overwrites needs no drop.
        unsafe { core::ptr::copy_nonoverlapping(&raw const stack.filler, element.get(), 1) };
    }
}

impl<T> Deref for RootStack<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `UnsafeCell<T>` has the layout of `T`; only the finish writes through `&`, and then
        // nobody has access.
        unsafe { core::slice::from_raw_parts(self.elements.as_ptr().cast(), self.len) }
    }
}

impl<T> DerefMut for RootStack<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `as_mut_full`.
        unsafe { core::slice::from_raw_parts_mut(self.elements.as_mut_ptr().cast(), self.len) }
    }
}

impl<T> fmt::Debug for RootStack<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootStack")
            .field("len", &self.len)
            .field("capacity", &self.elements.len())
            .finish()
    }
}

#[doc(hidden)]
pub struct RootStackFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for RootStackFamily<R> {
    type At<'gc> = RootStack<R::At<'gc>>;
}
// SAFETY: what is below the length is visited; what is above is overwritten with the filler, which is
// visited too, before anything is condemned.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for RootStack<T> {
    type R = RootStackFamily<T::R>;
    fn may_run_user_code(types: &mut TypesSeen) -> bool {
        T::may_run_user_code(types)
    }
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        visitor.report_bytes(self.elements.len() * size_of::<T>());
        self.filler.visit_objects(visitor);
        for element in self.iter() {
            element.visit_objects(visitor);
            // Of those without size one stands for all.
            if size_of::<T>() == 0 {
                break;
            }
        }
        visitor.at_finish((core::ptr::from_ref(self).cast(), clear_above::<T>));
    }
    const HAS_HOOKS: bool = true;
    fn on_condemned(&mut self, hooks: &mut Hooks<'_>) {
        if T::HAS_HOOKS {
            self.iter_mut().for_each(|element| element.on_condemned(hooks));
        }
    }
}
