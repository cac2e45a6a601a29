//! The memory of a buffer, outside of the heap.
//!
//! - **NB1 (whose).** Bytes are read by who has an access to the space, and by borrowers outside of accesses who have
//!   the block's lock in shared mode; they are written by who has an exclusive access and the lock exclusively. So
//!   no byte is written while anybody else has it: an exclusive access excludes all others, and the lock borrowers.
//! - **NB2 (kept).** The block is freed when the buffer lets go of it, which takes an exclusive access or the sweep,
//!   and the last borrower has: whoever has bytes borrows a token or an `Arc` of the block.

use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use cspace_core::{Charge, PendingCharge};
use parking_lot::lock_api::RawRwLock as _;
use parking_lot::RawRwLock;

use crate::source::{self, SystemFull};

/// Memory, its lock, and what it is charged.
pub(super) struct Block {
    base: NonNull<u8>,
    layout: Layout,
    len: usize,
    lock: RawRwLock,
    charge: Charge,
}

// SAFETY: the block owns its memory; who reads and writes it is ordered by NB1.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// `len` bytes of zeros with an alignment, paid for by `charge`, of which nothing stays if there are none.
    pub(super) fn new(
        len: usize,
        align: usize,
        charge: PendingCharge,
    ) -> Result<Block, SystemFull> {
        let layout = Layout::from_size_align(len, align).map_err(|_| SystemFull { bytes: len })?;
        let base = source::allocate_zeroed(layout)?;
        Ok(Block { base, layout, len, lock: RawRwLock::INIT, charge: charge.complete() })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn charge(&self) -> &Charge {
        &self.charge
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// The caller is in an access, which lasts as long as the reference, and which is not exclusive while somebody
    /// has the lock exclusively (NB1).
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: the memory has as many bytes, all initialised; nobody writes them (the caller's promise).
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// The bytes for somebody outside of an access, unless somebody writes them.
    pub(super) fn try_borrow(&self) -> Option<Borrowed<'_>> {
        self.lock.try_lock_shared().then_some(Borrowed(self))
    }

    /// The bytes of a range to write, unless somebody outside of an access has them.
    ///
    /// # Safety
    ///
    /// The caller has an exclusive access, which lasts as long as the borrow, and nobody has a reference to the
    /// bytes by that access (NB1). The range lies within.
    pub(super) unsafe fn try_borrow_mut(&self, start: usize, len: usize) -> Option<BytesMut<'_>> {
        debug_assert!(start <= self.len && len <= self.len - start);
        if !self.lock.try_lock_exclusive() {
            return None;
        }
        // SAFETY: the range lies within; nobody else reads or writes the bytes (NB1).
        let bytes = unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr().add(start), len) };
        Some(BytesMut { bytes, lock: &self.lock })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it came from there with this layout; nobody has it any more (NB2).
        unsafe { source::free(self.base, self.layout) };
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes that are borrowed outside of an access.
pub(super) struct Borrowed<'a>(&'a Block);

impl Deref for Borrowed<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the lock is held in shared mode, so nobody writes (NB1).
        unsafe { core::slice::from_raw_parts(self.0.base.as_ptr(), self.0.len) }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // SAFETY: taken in `try_borrow`.
        unsafe { self.0.lock.unlock_shared() };
    }
}

/// The bytes of a buffer, to be written in an exclusive access. While it exists, nobody outside of accesses can
/// borrow them.
pub struct BytesMut<'a> {
    bytes: &'a mut [u8],
    lock: &'a RawRwLock,
}

impl Deref for BytesMut<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for BytesMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

impl Drop for BytesMut<'_> {
    fn drop(&mut self) {
        // SAFETY: taken in `try_borrow_mut`.
        unsafe { self.lock.unlock_exclusive() };
    }
}

impl fmt::Debug for BytesMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesMut").field("len", &self.bytes.len()).finish()
    }
}
