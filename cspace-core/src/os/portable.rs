//! Everywhere else: the global allocator, which keeps what it was asked for.

use core::ptr::NonNull;
use std::alloc::{alloc_zeroed, dealloc, Layout};

use super::ADDRESS_MAX;

/// Allocates `size` bytes of zeroed memory, `offset` bytes behind a multiple of `align`; `None` when there is none.
pub(crate) fn reserve(size: usize, align: usize, offset: usize) -> Option<NonNull<u8>> {
    let size = size.checked_add(offset)?;
    // No system has as much, and Miri ends a program that asks it.
    if size > ADDRESS_MAX {
        return None;
    }
    let layout = Layout::from_size_align(size, align).ok()?;
    // SAFETY: callers never ask for zero bytes.
    let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    if base.addr().get() > ADDRESS_MAX - size {
        // SAFETY: just allocated with this layout, and nobody knows of it.
        unsafe { dealloc(base.as_ptr(), layout) };
        return None;
    }
    // SAFETY: within what was allocated.
    Some(unsafe { base.add(offset) })
}

/// Frees what [`reserve`] gave.
///
/// # Safety
///
/// All are those of one `reserve`; nothing uses the memory any more.
pub(crate) unsafe fn release(base: NonNull<u8>, size: usize, align: usize, offset: usize) {
    // SAFETY: the layout is the one that `reserve` allocated with, by the caller's promise.
    unsafe {
        dealloc(base.sub(offset).as_ptr(), Layout::from_size_align_unchecked(size + offset, align));
    }
}

/// Keeps the pages: the global allocator has no way to give back a part.
///
/// # Safety
///
/// As for the other systems; nothing is done here.
pub(crate) unsafe fn decommit(_base: NonNull<u8>, _size: usize) {}

/// Does nothing: there is no such advice here.
pub(crate) fn advise_huge(_base: NonNull<u8>, _size: usize) {}
