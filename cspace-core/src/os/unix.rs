//! Unix: anonymous private maps.

use core::ptr::NonNull;

/// Maps `size` bytes of zeroed memory, `offset` bytes behind a multiple of `align`; `None` when the system refuses.
///
/// All are multiples of the page size, `align` is a power of two, `offset` is less.
pub(crate) fn reserve(size: usize, align: usize, offset: usize) -> Option<NonNull<u8>> {
    let padded = size.checked_add(align)?;
    // SAFETY: an anonymous map with no address asked for touches no existing memory.
    let raw = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            padded,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if raw == libc::MAP_FAILED {
        return None;
    }
    let raw = raw.cast::<u8>();
    let front = offset.wrapping_sub(raw.addr()) & (align - 1);
    let back = align - front;
    // SAFETY: both ranges lie in the map made above and hold nothing; what stays mapped is exactly
    // `size` bytes from the address that was asked for.
    unsafe {
        let base = raw.add(front);
        if front > 0 {
            libc::munmap(raw.cast(), front);
        }
        if back > 0 {
            libc::munmap(base.add(size).cast(), back);
        }
        NonNull::new(base)
    }
}

/// Unmaps what [`reserve`] gave.
///
/// # Safety
///
/// `base` and `size` are those of one `reserve`; nothing uses the memory any more.
pub(crate) unsafe fn release(base: NonNull<u8>, size: usize, _align: usize) {
    // SAFETY: the caller hands back a whole map that nobody uses.
    unsafe { libc::munmap(base.as_ptr().cast(), size) };
}

/// Gives the pages of a range back to the system; they read as zero when touched next.
///
/// # Safety
///
/// The range lies in one live reservation, is page-aligned, and nothing in it is needed.
pub(crate) unsafe fn decommit(base: NonNull<u8>, size: usize) {
    // SAFETY: the caller owns the range and gives up its contents.
    unsafe { libc::madvise(base.as_ptr().cast(), size, libc::MADV_DONTNEED) };
}

/// Asks for large pages; a hint that the system may ignore.
pub(crate) fn advise_huge(base: NonNull<u8>, size: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the advice changes no contents; the range is a live reservation of ours.
    unsafe {
        libc::madvise(base.as_ptr().cast(), size, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (base, size);
}
