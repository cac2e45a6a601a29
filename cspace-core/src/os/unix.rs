//! Unix: anonymous private maps.

use core::ptr::NonNull;

use super::ADDRESS_MAX;

/// How many places below the highest address are tried, where the system prefers those above.
const PLACES_TRIED: usize = 256;

/// Maps `size` bytes of zeroed memory, `offset` bytes behind a multiple of `align`; `None` when the system refuses.
///
/// All are multiples of the page size, `align` is a power of two, `offset` is less.
pub(crate) fn reserve(size: usize, align: usize, offset: usize) -> Option<NonNull<u8>> {
    let padded = size.checked_add(align)?;
    let raw = map_below(padded, ADDRESS_MAX)?;
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

/// Maps zeroed memory that ends below `end`. Most systems give such addresses anyway; of the others (Linux on AArch64,
/// where user addresses have 48 bits) it is asked for by hints, which they follow where the place is free.
fn map_below(size: usize, end: usize) -> Option<*mut u8> {
    let hint_step = end / PLACES_TRIED;
    let mut hint = core::ptr::null_mut();
    for place in (0..PLACES_TRIED).rev() {
        // SAFETY: an anonymous map that replaces none touches no existing memory.
        let raw = unsafe {
            libc::mmap(
                hint,
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if raw == libc::MAP_FAILED {
            return None;
        }
        if raw.addr().checked_add(size).is_some_and(|after| after <= end) {
            return Some(raw.cast());
        }
        // SAFETY: just mapped, and nobody knows of it.
        unsafe { libc::munmap(raw, size) };
        hint = core::ptr::without_provenance_mut(place * hint_step);
    }
    None
}

/// Unmaps what [`reserve`] gave.
///
/// # Safety
///
/// `base` and `size` are those of one `reserve`; nothing uses the memory any more.
pub(crate) unsafe fn release(base: NonNull<u8>, size: usize, _align: usize, _offset: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_asked_for_below_the_highest_address_where_the_system_gives_others() {
        const SIZE: usize = 8 << 20;
        // Above this nearly all maps lie that nobody has asked a place for.
        let end = 1 << 46;
        let maps: Vec<_> = (0..20).map(|_| map_below(SIZE, end).expect("there is room")).collect();
        for (i, map) in maps.iter().enumerate() {
            assert!(map.addr() + SIZE <= end);
            // SAFETY: mapped above, and used by nobody else.
            unsafe { map.write(i as u8) };
        }
        for (i, map) in maps.iter().enumerate() {
            // SAFETY: as above; unmapped once.
            unsafe {
                assert_eq!(map.read(), i as u8, "they lie apart");
                release(NonNull::new(*map).unwrap(), SIZE, 1, 0);
            }
        }
        assert_eq!(map_below(SIZE, SIZE / 2), None);
    }
}
