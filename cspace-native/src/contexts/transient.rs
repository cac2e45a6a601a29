//! Buffers of a context for what has an unknown length until it is written.

use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::context::Context;
use super::handle::ContextHandle;
use crate::bump::NativeError;

/// A transient buffer could not be used as was asked for. What the context has otherwise is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransientError {
    /// There was no memory.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// More bytes were to be kept than the buffer has.
    #[error(
        "{len} bytes cannot be kept of a buffer of {of}: `require` as many before they are written"
    )]
    TooLong {
        /// Bytes to keep.
        len: usize,
        /// Bytes of the buffer.
        of: usize,
    },
}

/// Bytes that were written and are neither committed nor discarded.
pub(super) struct Pending {
    pub(super) place: NonNull<u8>,
    pub(super) len: usize,
}

impl Pending {
    pub(super) fn bytes(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.place, self.len)
    }
}

/// A buffer that is being written: all zero at first.
///
/// It borrows the context, so there is one at a time. Dropped without [`finalize`](Transient::finalize) or
/// [`commit`](Transient::commit), it is discarded.
///
/// ```
/// use cspace_core::Ledger;
/// use cspace_native::{ConfigBuilder, Context};
///
/// let mut context = Context::new(&ConfigBuilder::new(&Ledger::default())?.freeze())?;
/// let mut buffer = context.transient_buffer(4)?;
/// buffer.require(8)?;
/// buffer[..6].copy_from_slice(b"200 OK");
/// buffer.finalize(6)?;
/// assert_eq!(context.pending(), Some(&b"200 OK"[..]));
/// let status = context.commit().unwrap();
/// context.transient_buffer(100)?.fill(b'x');
/// assert_eq!(context.get(status)?, b"200 OK");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transient<'a> {
    context: &'a mut Context,
    place: NonNull<u8>,
    len: usize,
}

impl<'a> Transient<'a> {
    pub(super) fn new(context: &'a mut Context, len: usize) -> Result<Self, TransientError> {
        let place = allocate(context, len)?;
        Ok(Transient { context, place, len })
    }

    /// Makes the buffer at least `len` bytes long. What was written stays; the rest is zero.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn require(&mut self, len: usize) -> Result<(), TransientError> {
        if len <= self.len {
            return Ok(());
        }
        if self.context.parts_mut().store.bump.extend_last(self.place, self.len, len)? {
            self.len = len;
            return Ok(());
        }
        let place = allocate(self.context, len)?;
        // SAFETY: both are ranges of the context's memory of at least so many bytes, and do not overlap.
        unsafe { place.as_ptr().copy_from_nonoverlapping(self.place.as_ptr(), self.len) };
        (self.place, self.len) = (place, len);
        Ok(())
    }

    /// Ends the writing, of which the first `len` bytes count. They are the context's [`pending`](Context::pending)
    /// bytes until they are committed or discarded, or the next buffer is asked for, which commits them.
    ///
    /// # Errors
    ///
    /// If the buffer has not as many: then it is discarded.
    pub fn finalize(self, len: usize) -> Result<(), TransientError> {
        if len > self.len {
            return Err(TransientError::TooLong { len, of: self.len });
        }
        // Not dropped: what counts is kept.
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: the reference is read out once; the value is not used after.
        let context = unsafe { core::ptr::read(&this.context) };
        let parts = context.parts_mut();
        parts.store.bump.shrink_last(this.place, this.len, len);
        parts.pending = Some(Pending { place: this.place, len });
        Ok(())
    }

    /// Ends the writing, and keeps the first `len` bytes to the end of the context.
    ///
    /// # Errors
    ///
    /// As [`finalize`](Transient::finalize).
    pub fn commit(self, len: usize) -> Result<ContextHandle<[u8]>, TransientError> {
        let (owner, place) = (self.context.parts().store.owner, self.place);
        let of = self.len;
        if len > of {
            return Err(TransientError::TooLong { len, of });
        }
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: as above.
        let context = unsafe { core::ptr::read(&this.context) };
        context.parts_mut().store.bump.shrink_last(place, of, len);
        Ok(ContextHandle::new(owner, NonNull::slice_from_raw_parts(place, len)))
    }

    /// Drops what was written.
    pub fn discard(self) {}
}

fn allocate(context: &mut Context, len: usize) -> Result<NonNull<u8>, NativeError> {
    let full = crate::SystemFull { bytes: len };
    let layout = Layout::from_size_align(len, 1).map_err(|_| full)?;
    context.parts_mut().store.bump.allocate(layout)
}

impl Drop for Transient<'_> {
    fn drop(&mut self) {
        self.context.parts_mut().store.bump.shrink_last(self.place, self.len, 0);
    }
}

impl Deref for Transient<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: a range of the context's memory that is this buffer's, initialised; the context is borrowed.
        unsafe { core::slice::from_raw_parts(self.place.as_ptr(), self.len) }
    }
}

impl DerefMut for Transient<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.place.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Transient<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transient").field("len", &self.len).finish()
    }
}
