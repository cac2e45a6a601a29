//! Several values in a row whose number is known when the program runs.
//!
//! - **NZ3 (spanned).** A span has a head, which knows how many values it has, and the values behind it, at a distance
//!   that their type alone decides. Head and values lie in one range of a [`Bump`](crate::bump::Bump).

use core::alloc::{Layout, LayoutError};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// What lies before the values.
#[repr(C)]
pub(crate) struct Head {
    len: usize,
    /// Of a slot: whether its values are initialised.
    pub(crate) status: u8,
}

/// Where a span is.
pub(crate) struct Span<T> {
    head: NonNull<Head>,
    values: PhantomData<*mut T>,
}

impl<T> Clone for Span<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Span<T> {}

impl<T> Span<T> {
    /// The memory of a span of so many values.
    pub(crate) fn layout(len: usize) -> Result<Layout, LayoutError> {
        let (span, at) = Layout::new::<Head>().extend(Layout::array::<T>(len)?)?;
        debug_assert_eq!(at, Self::values_at());
        Ok(span)
    }

    /// How far behind the head the values begin.
    const fn values_at() -> usize {
        size_of::<Head>().next_multiple_of(align_of::<T>())
    }

    /// A new span, in memory of its layout.
    ///
    /// # Safety
    ///
    /// The memory is of [`layout`](Span::layout) with the same length, zero, and nobody else's.
    pub(crate) unsafe fn new(memory: NonNull<u8>, len: usize) -> Span<T> {
        let span = Span::at(memory);
        // SAFETY: the head is the first thing in the memory.
        unsafe { (&raw mut (*span.head.as_ptr()).len).write(len) };
        span
    }

    /// The span whose head is there.
    pub(crate) fn at(head: NonNull<u8>) -> Span<T> {
        Span { head: head.cast(), values: PhantomData }
    }

    /// Where its head is.
    pub(crate) fn head(self) -> NonNull<u8> {
        self.head.cast()
    }

    /// Of a slot: whether its values are initialised.
    pub(crate) fn status(self) -> *mut u8 {
        // Not read: the place alone.
        self.head().as_ptr().wrapping_add(core::mem::offset_of!(Head, status))
    }

    /// Its values.
    ///
    /// # Safety
    ///
    /// The span is there (NZ3).
    pub(crate) unsafe fn values(self) -> NonNull<[T]> {
        // SAFETY: the head is initialised, and the values lie behind it, in the same range.
        unsafe {
            let len = (*self.head.as_ptr()).len;
            let values = self.head().add(Self::values_at()).cast();
            NonNull::slice_from_raw_parts(values, len)
        }
    }

    /// Initialises the values, the first one first, by `init` from their numbers.
    ///
    /// If that panics, the values that were made are dropped, the last one first, and the memory is zero again.
    ///
    /// # Safety
    ///
    /// The span is there (NZ3), and nobody uses its values meanwhile; none is initialised.
    pub(crate) unsafe fn fill(self, mut init: impl FnMut(usize) -> T) {
        /// Takes back what was made.
        struct Made<T> {
            span: Span<T>,
            count: usize,
        }
        impl<T> Drop for Made<T> {
            fn drop(&mut self) {
                // SAFETY: the first `count` values are initialised, and nobody else's.
                unsafe { self.span.clear(self.count) };
            }
        }
        // SAFETY: the caller's promise.
        let values = unsafe { self.values() };
        let mut made = Made { span: self, count: 0 };
        for at in 0..values.len() {
            let value = init(at);
            // SAFETY: within the span, and not initialised.
            unsafe { values.cast::<T>().add(at).write(value) };
            made.count = at + 1;
        }
        core::mem::forget(made);
    }

    /// Drops the first `count` values, the last one first, and makes the memory of all zero.
    ///
    /// # Safety
    ///
    /// The span is there (NZ3), and nobody uses its values, of which these are initialised.
    pub(crate) unsafe fn clear(self, count: usize) {
        /// Goes on with the others if a drop panics.
        struct Left<T>(Span<T>, usize);
        impl<T> Drop for Left<T> {
            fn drop(&mut self) {
                // SAFETY: the promise of `clear`, for those that are left.
                unsafe { self.0.clear(self.1) };
            }
        }
        // SAFETY: the caller's promise.
        let values = unsafe { self.values() };
        let mut left = Left(self, count);
        if core::mem::needs_drop::<T>() {
            while left.1 > 0 {
                left.1 -= 1;
                // SAFETY: initialised, and counted as dropped.
                unsafe { values.cast::<T>().add(left.1).drop_in_place() };
            }
        }
        core::mem::forget(left);
        // SAFETY: the memory of the values, none of which is initialised any more.
        unsafe { values.cast::<T>().as_ptr().write_bytes(0, values.len()) };
    }
}
