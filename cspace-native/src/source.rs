//! Where all memory of this crate comes from: one place to count it, and to have it fail.
//!
//! Memory whose size a user chooses is never an abort: it comes from here, and a failure is an error. What a handle
//! costs itself (an `Arc`, a few words) is allocated as everywhere in Rust.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::alloc::{alloc, alloc_zeroed, dealloc};

/// The system gave no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no memory for {bytes} bytes")]
pub struct SystemFull {
    /// Bytes that were asked for.
    pub bytes: usize,
}

/// More bytes than any system gives to a process that does not insist on where: larger addresses are given out on
/// request only, or to nobody. What asks for more is refused before anything is charged, collected or asked for.
pub(crate) const ADDRESSABLE: usize = if cfg!(target_arch = "x86_64") {
    1 << 47
} else if cfg!(target_arch = "aarch64") {
    1 << 48
} else {
    1 << 56
};

/// An error if there cannot be so much memory.
pub(crate) fn check(bytes: usize) -> Result<(), SystemFull> {
    match bytes < ADDRESSABLE {
        true => Ok(()),
        false => Err(SystemFull { bytes }),
    }
}

/// Memory for a layout, all zero. A layout of no bytes takes one.
pub(crate) fn allocate_zeroed(layout: Layout) -> Result<NonNull<u8>, SystemFull> {
    let layout = at_least_one_byte(layout);
    check(layout.size())?;
    let full = SystemFull { bytes: layout.size() };
    if fault::is_due() {
        return Err(full);
    }
    // SAFETY: the layout has at least a byte.
    NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(full)
}

/// For memory that comes from elsewhere: fails if a failure is due.
pub(crate) fn fail_if_due(bytes: usize) -> Result<(), SystemFull> {
    if fault::is_due() {
        return Err(SystemFull { bytes });
    }
    Ok(())
}

/// Memory for a layout, with no particular content. A layout of no bytes takes one.
pub(crate) fn allocate(layout: Layout) -> Result<NonNull<u8>, SystemFull> {
    let layout = at_least_one_byte(layout);
    check(layout.size())?;
    let full = SystemFull { bytes: layout.size() };
    if fault::is_due() {
        return Err(full);
    }
    // SAFETY: the layout has at least a byte.
    NonNull::new(unsafe { alloc(layout) }).ok_or(full)
}

/// Gives memory back.
///
/// # Safety
///
/// It came from this module with the same layout, and nobody uses it any more.
pub(crate) unsafe fn free(memory: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(memory.as_ptr(), at_least_one_byte(layout)) };
}

fn at_least_one_byte(layout: Layout) -> Layout {
    if layout.size() > 0 {
        return layout;
    }
    // SAFETY: the alignment is that of a layout, and one byte rounded up to it does not overflow.
    unsafe { Layout::from_size_align_unchecked(1, layout.align()) }
}

/// Failures on purpose, for tests.
#[cfg(feature = "faults")]
pub mod fault {
    use core::cell::Cell;

    thread_local! {
        static COUNTDOWN: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Has the `nth` request for memory that this thread makes from now on fail, counted from 0; `None`: none.
    pub fn fail_nth(nth: Option<usize>) {
        COUNTDOWN.set(nth);
    }

    /// Whether a failure that was asked for is still to come.
    pub fn is_armed() -> bool {
        COUNTDOWN.get().is_some()
    }

    pub(crate) fn is_due() -> bool {
        let is_due = COUNTDOWN.get() == Some(0);
        COUNTDOWN.set(COUNTDOWN.get().and_then(|left| left.checked_sub(1)));
        is_due
    }
}

#[cfg(not(feature = "faults"))]
mod fault {
    #[inline(always)]
    pub(crate) fn is_due() -> bool {
        false
    }
}
