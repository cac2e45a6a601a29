//! Direct buffers: bytes outside of the heap that live and die with objects.

use core::fmt;
use core::ops::{Bound, RangeBounds};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cspace_core::{
    Access, Alloc, Category, CellAccess, CellAccessMut, Exclusive, Gc, GcCell, HeapFull, IObject,
    Ledger, MemoryFull, PendingCharge, Static,
};

use super::block::{Block, BytesMut};
use crate::scalar::{ByteOrder, Scalar};
use crate::source::{self, SystemFull};

/// The alignment of a buffer that is not aligned to pages.
const ALIGN: usize = 16;

/// A buffer could not be made. Nothing is charged or allocated then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// A limit of the space's ledger would be passed.
    #[error(transparent)]
    Memory(#[from] MemoryFull),
    /// The system gave no memory, or the size is larger than any can be.
    #[error(transparent)]
    System(#[from] SystemFull),
    /// There was no room in the heap for the object that stands for the buffer.
    #[error(transparent)]
    Heap(#[from] HeapFull),
}

/// A buffer could not be used as was asked for. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufferError {
    /// The buffer was freed.
    #[error("the buffer was freed: it, its slices and its handles have no bytes any more")]
    Freed,
    /// The view is read-only.
    #[error("the buffer is read-only: write by way of the view that it was made from")]
    ReadOnly,
    /// The range does not lie within the buffer.
    #[error("{len} bytes from {offset} on do not lie within a buffer of {of} bytes")]
    OutOfRange {
        /// Where the range begins.
        offset: usize,
        /// Its bytes.
        len: usize,
        /// Bytes of the buffer.
        of: usize,
    },
    /// Somebody has the bytes: to read outside of an access, when they were to be written; to write, when they were
    /// to be read outside of an access.
    #[error(
        "the bytes of the buffer are borrowed: try again when `with` or the `BytesMut` has ended"
    )]
    Borrowed,
}

/// Bytes of a limit, reserved before the buffer is made.
///
/// Made outside of accesses, where room can be made by collections; a buffer is then made from it within one. What is
/// reserved keeps to the limits, and is otherwise counted when the buffer is there: a reservation for which the system
/// has no memory leaves no trace.
#[derive(Debug)]
pub struct Reservation {
    charge: PendingCharge,
    align: usize,
}

impl Reservation {
    /// Reserves `len` bytes, as Java does for a direct buffer: if a limit is in the way, cleaners run, evictable
    /// objects go and garbage is collected, and then up to nine waits of 1, 2, 4 … 256 ms (half a second in all) leave
    /// time to other threads. See [`Ledger::charge`].
    ///
    /// # Errors
    ///
    /// If there is no room even so. At once if this thread holds a space, where nothing can be collected: reserve
    /// before you enter, as the error says ([`MemoryFull::is_inside_access`]). At once, too, and with nothing done to make
    /// room, if there is more asked for than the limit allows in all.
    pub fn new(ledger: &Ledger, len: usize) -> Result<Reservation, MemoryFull> {
        Reservation::with(ledger, len, len, ALIGN, std::thread::sleep)
    }

    /// As [`new`](Reservation::new), for a buffer that begins at a page of the system. Takes up to a page more.
    ///
    /// # Errors
    ///
    /// As [`new`](Reservation::new).
    pub fn page_aligned(ledger: &Ledger, len: usize) -> Result<Reservation, MemoryFull> {
        let page = page_bytes();
        Reservation::with(ledger, len.saturating_add(page), len, page, std::thread::sleep)
    }

    /// As [`new`](Reservation::new), with `wait` in place of sleeping.
    ///
    /// # Errors
    ///
    /// As [`new`](Reservation::new).
    pub fn with_wait(
        ledger: &Ledger,
        len: usize,
        wait: impl FnMut(Duration),
    ) -> Result<Reservation, MemoryFull> {
        Reservation::with(ledger, len, len, ALIGN, wait)
    }

    fn with(
        ledger: &Ledger,
        bytes: usize,
        len: usize,
        align: usize,
        wait: impl FnMut(Duration),
    ) -> Result<Reservation, MemoryFull> {
        let charge = ledger.begin_charge(Category::Buffers, bytes, len, wait)?;
        Ok(Reservation { charge, align })
    }

    /// How many bytes the buffer will have.
    pub fn len(&self) -> usize {
        self.charge.capacity()
    }

    /// Whether the buffer will have none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the buffer, filled with zeros. It belongs to the space of the access; the reservation to that of the
    /// ledger, which is the same unless you mix them up.
    ///
    /// # Errors
    ///
    /// If the system gives no memory, or the heap has no room for the object.
    pub fn allocate<'gc>(self, cx: &Alloc<'gc>) -> Result<DirectBuffer<'gc>, AllocateError> {
        let len = self.len();
        let block = Block::new(len, self.align, self.charge)?;
        let block = GcCell::new(Some(Static(Arc::new(block))));
        let memory = cx.try_alloc(Memory { block }).map_err(|error| error.cause)?;
        Ok(DirectBuffer { memory, start: 0, len, is_read_only: false })
    }
}

/// The object that stands for the bytes: the root of all views. Its drop frees them.
#[derive(IObject)]
#[cspace(crate = cspace_core)]
struct Memory<'gc> {
    block: GcCell<'gc, Option<Static<Arc<Block>>>>,
}

/// Bytes outside of the heap that are freed by the sweep of a collection that finds no object that refers to them, or at
/// once by [`free`](DirectBuffer::free) (Java's direct `ByteBuffer`).
///
/// For input and output, for native libraries, for what is too large to lie in the heap. A `DirectBuffer` is a view: a
/// few words, `Copy`, a part of objects as a `Gc` is. [`slice`](DirectBuffer::slice) and
/// [`read_only`](DirectBuffer::read_only) make others of the same bytes, which live until the last view is gone. What
/// a buffer takes is charged to [`Category::Buffers`] of the space's [`Ledger`] before it is allocated.
///
/// Bytes are read in any access and written in exclusive ones, and are borrowed from the token. Outside of accesses a
/// [`BufferHandle`] lends them to read.
///
/// ```
/// use cspace_core::{Category, Space};
/// use cspace_native::{ByteOrder, DirectBuffer};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let buffer = DirectBuffer::allocate(cx, 100)?;
///     buffer.bytes_mut(cx)?[..4].copy_from_slice(b"abcd");
///     let tail = buffer.slice(2..)?;
///     assert_eq!(&tail.bytes(cx)?[..2], b"cd");
///     tail.set(cx, 2, 0x0102_u16, ByteOrder::Big)?;
///     assert_eq!(buffer.get::<u8, _>(cx, 4, ByteOrder::Big)?, 1);
///     assert_eq!(cx.ledger().account(Category::Buffers).bytes, 100);
///     buffer.free(cx)?;
///     assert!(tail.bytes(cx).is_err());
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
/// assert_eq!(space.ledger().account(Category::Buffers).bytes, 0);
/// # use cspace_core::Access;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(IObject)]
#[cspace(crate = cspace_core)]
pub struct DirectBuffer<'gc> {
    memory: Gc<'gc, Memory<'gc>>,
    start: usize,
    len: usize,
    is_read_only: bool,
}

impl Clone for DirectBuffer<'_> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for DirectBuffer<'_> {}

impl<'gc> DirectBuffer<'gc> {
    /// A buffer of `len` bytes, zero. Any length will do, 0 too.
    ///
    /// # Errors
    ///
    /// If the ledger has no room: then a collection is asked for as by [`Ledger::try_charge`], and comes when the access
    /// has ended at the earliest; try again after it, or make a [`Reservation`] outside of the access, which makes room
    /// first. If the system has no memory, or the heap no room for the object. What can never be, as it is more than the
    /// limit or than any memory, is refused and nothing else.
    pub fn allocate(cx: &Alloc<'gc>, len: usize) -> Result<DirectBuffer<'gc>, AllocateError> {
        source::check(len)?;
        let charge = cx.ledger().try_begin_charge(Category::Buffers, len, len)?;
        Reservation { charge, align: ALIGN }.allocate(cx)
    }

    /// As [`allocate`](DirectBuffer::allocate), for a buffer that begins at a page of the system. Takes up to a page
    /// more.
    ///
    /// # Errors
    ///
    /// As [`allocate`](DirectBuffer::allocate).
    pub fn allocate_page_aligned(
        cx: &Alloc<'gc>,
        len: usize,
    ) -> Result<DirectBuffer<'gc>, AllocateError> {
        let page = page_bytes();
        let bytes = len.saturating_add(page);
        source::check(bytes)?;
        let charge = cx.ledger().try_begin_charge(Category::Buffers, bytes, len)?;
        Reservation { charge, align: page }.allocate(cx)
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it cannot be written by way of this view.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Whether the bytes were freed.
    pub fn is_freed(&self, cx: &impl CellAccess<'gc>) -> bool {
        self.memory.as_ref().block.borrow(cx).is_none()
    }

    /// Whether both are views of the same bytes, or of parts of them.
    pub fn is_of(&self, other: &DirectBuffer<'gc>) -> bool {
        Gc::ptr_eq(self.memory, other.memory)
    }

    /// A view of a part.
    ///
    /// # Errors
    ///
    /// If the range does not lie within.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Result<DirectBuffer<'gc>, BufferError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len,
        };
        if start > end || end > self.len {
            let len = end.saturating_sub(start);
            return Err(BufferError::OutOfRange { offset: start, len, of: self.len });
        }
        Ok(DirectBuffer { start: self.start + start, len: end - start, ..*self })
    }

    /// A view that does not write.
    pub fn read_only(&self) -> DirectBuffer<'gc> {
        DirectBuffer { is_read_only: true, ..*self }
    }

    fn block<'a>(&self, cx: &'a impl CellAccess<'gc>) -> Result<&'a Arc<Block>, BufferError>
    where
        'gc: 'a,
    {
        let block = self.memory.as_ref().block.borrow(cx).as_ref();
        block.map(|block| &block.0).ok_or(BufferError::Freed)
    }

    /// The bytes, to read during the access.
    ///
    /// # Errors
    ///
    /// If the buffer was freed.
    pub fn bytes<'a>(&self, cx: &'a impl CellAccess<'gc>) -> Result<&'a [u8], BufferError>
    where
        'gc: 'a,
    {
        let block = self.block(cx)?;
        // SAFETY: a token of the access is borrowed as long as the bytes. To write in this access takes the token
        // mutably (NB1), as does to free (NB2).
        Ok(&unsafe { block.bytes() }[self.start..self.start + self.len])
    }

    /// The bytes, to write.
    ///
    /// # Errors
    ///
    /// If the buffer was freed, the view is read-only, or somebody outside of the access has the bytes at the moment.
    pub fn bytes_mut<'a>(
        &self,
        cx: &'a mut impl CellAccessMut<'gc>,
    ) -> Result<BytesMut<'a>, BufferError>
    where
        'gc: 'a,
    {
        if self.is_read_only {
            return Err(BufferError::ReadOnly);
        }
        // A shared borrow for as long as the mutable one: nobody else can use the token.
        let block = self.block(&*cx)?;
        // SAFETY: the token of an exclusive access is borrowed mutably as long as the bytes, so nobody has them by
        // this access (NB1). A view's range lies within its block.
        unsafe { block.try_borrow_mut(self.start, self.len) }.ok_or(BufferError::Borrowed)
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), BufferError> {
        if offset > self.len || len > self.len - offset {
            return Err(BufferError::OutOfRange { offset, len, of: self.len });
        }
        Ok(())
    }

    /// The number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within, or the buffer was freed.
    pub fn get<T: Scalar, C: CellAccess<'gc>>(
        &self,
        cx: &C,
        offset: usize,
        order: ByteOrder,
    ) -> Result<T, BufferError> {
        self.check(offset, T::BYTES)?;
        Ok(T::read(&self.bytes(cx)?[offset..], order))
    }

    /// Writes a number at an offset, aligned or not.
    ///
    /// # Errors
    ///
    /// If it does not lie within, or as [`bytes_mut`](DirectBuffer::bytes_mut).
    pub fn set<T: Scalar>(
        &self,
        cx: &mut impl CellAccessMut<'gc>,
        offset: usize,
        number: T,
        order: ByteOrder,
    ) -> Result<(), BufferError> {
        self.check(offset, T::BYTES)?;
        number.write(&mut self.bytes_mut(cx)?[offset..], order);
        Ok(())
    }

    /// Copies all bytes of `source` to an offset of this buffer. They may be parts of the same bytes, and overlap.
    ///
    /// # Errors
    ///
    /// If they do not fit, or as [`bytes_mut`](DirectBuffer::bytes_mut), or if `source` was freed.
    pub fn copy_from(
        &self,
        cx: &mut impl CellAccessMut<'gc>,
        offset: usize,
        source: &DirectBuffer<'gc>,
    ) -> Result<(), BufferError> {
        self.check(offset, source.len)?;
        if self.is_of(source) {
            let all = DirectBuffer { start: 0, len: self.block(cx)?.len(), ..*self };
            let mut bytes = all.bytes_mut(cx)?;
            bytes.copy_within(source.start..source.start + source.len, self.start + offset);
            return Ok(());
        }
        let (to, from) = (self.slice(offset..offset + source.len)?, Arc::clone(source.block(cx)?));
        let mut bytes = to.bytes_mut(cx)?;
        // SAFETY: the access goes on, and nobody writes the bytes of the other block in it: its one token is
        // borrowed for those of this one (NB1).
        bytes.copy_from_slice(&unsafe { from.bytes() }[source.start..source.start + source.len]);
        Ok(())
    }

    /// Frees the bytes now, of all views; returns how many bytes were given back to the ledger, 0 if somebody outside
    /// of the access has them: then they are freed when that ends.
    ///
    /// # Errors
    ///
    /// If they were freed before, or the view is read-only.
    pub fn free(&self, cx: &mut Exclusive<'gc>) -> Result<usize, BufferError> {
        if self.is_read_only {
            return Err(BufferError::ReadOnly);
        }
        let block = self.memory.as_ref().block.replace(cx, None).ok_or(BufferError::Freed)?;
        Ok(Arc::into_inner(block.0).map_or(0, |block| block.charge().bytes()))
    }

    /// A handle for threads outside of accesses. It does not keep the buffer.
    ///
    /// # Errors
    ///
    /// If the buffer was freed.
    pub fn handle(&self, cx: &impl CellAccess<'gc>) -> Result<BufferHandle, BufferError> {
        let block = Arc::downgrade(self.block(cx)?);
        Ok(BufferHandle { block, start: self.start, len: self.len })
    }
}

impl fmt::Debug for DirectBuffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectBuffer")
            .field("start", &self.start)
            .field("len", &self.len)
            .field("is_read_only", &self.is_read_only)
            .finish_non_exhaustive()
    }
}

/// A way to the bytes of a [`DirectBuffer`] outside of accesses: `Send`, `Sync`, cheap to clone.
///
/// It keeps neither the buffer nor its bytes. While [`with`](BufferHandle::with) runs the bytes stay, even if the
/// buffer is freed or collected meanwhile.
///
/// ```
/// use cspace_core::Space;
/// use cspace_native::{BufferError, DirectBuffer};
///
/// let space = Space::builder().build()?;
/// let handle = space.exclusive(|cx| DirectBuffer::allocate(cx, 10).unwrap().handle(cx))?;
/// assert_eq!(handle.with(|bytes| bytes.len())?, 10);
/// drop(space);
/// assert_eq!(handle.with(|_| ()), Err(BufferError::Freed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BufferHandle {
    block: Weak<Block>,
    start: usize,
    len: usize,
}

impl BufferHandle {
    /// Calls `f` with the bytes.
    ///
    /// # Errors
    ///
    /// If the buffer is gone, or somebody writes it.
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R, BufferError> {
        let block = self.block.upgrade().ok_or(BufferError::Freed)?;
        let bytes = block.try_borrow().ok_or(BufferError::Borrowed)?;
        Ok(f(&bytes[self.start..self.start + self.len]))
    }

    /// How many bytes it has, or had.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Bytes of a page of the system.
pub(super) fn page_bytes() -> usize {
    page_size::get()
}
