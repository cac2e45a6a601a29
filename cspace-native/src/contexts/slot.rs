//! Slots: where in each context something is.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;

use super::handle::WrongContext;
use crate::bump::NativeError;
use crate::span::Span;

/// The largest alignment of a slot, in bytes.
pub(super) const ALIGN_MAX: usize = 4096;

/// A key to a slot of each context of a configuration. `Copy`, and no larger than two words.
pub struct SlotKey<T> {
    /// The number of the configuration.
    pub(super) config: u64,
    /// Where the slot is in the block; from the end of the block on, the number of a slot that was reserved late.
    pub(super) place: usize,
    content: PhantomData<fn(T) -> T>,
}

impl<T> SlotKey<T> {
    pub(super) fn new(config: u64, place: usize) -> SlotKey<T> {
        SlotKey { config, place, content: PhantomData }
    }
}

impl<T> Clone for SlotKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SlotKey<T> {}

impl<T> fmt::Debug for SlotKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotKey").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A key to a span of each context of a configuration: to several values in a row, whose number was known when it was
/// reserved ([`ConfigBuilder::reserve_span`](super::ConfigBuilder::reserve_span)). `Copy`, and no larger than three words.
pub struct SpanKey<T> {
    /// The slot that it takes.
    pub(super) slot: SlotKey<T>,
    pub(super) len: usize,
}

impl<T> SpanKey<T> {
    pub(super) fn new(config: u64, place: usize, len: usize) -> SpanKey<T> {
        SpanKey { slot: SlotKey::new(config, place), len }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Clone for SpanKey<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SpanKey<T> {}

impl<T> fmt::Debug for SpanKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanKey")
            .field("place", &self.slot.place)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// A slot could not be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// All slots together would be larger than any memory can be.
    #[error("with {bytes} bytes more, contexts would be larger than any memory")]
    TooLarge {
        /// Bytes that were to be reserved.
        bytes: usize,
    },
    /// The alignment is larger than blocks have.
    #[error("slots can be aligned to at most 4096 bytes, not to {align}")]
    Align {
        /// The alignment that was asked for.
        align: usize,
    },
}

/// A slot could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The key is of another configuration.
    #[error(transparent)]
    Wrong(#[from] WrongContext),
    /// The slot's own initialiser asked for the slot.
    #[error("the slot is being initialised: its initialiser may use other slots, but not its own")]
    Reentered,
    /// There was no memory.
    #[error(transparent)]
    Native(#[from] NativeError),
}

/// Where slots lie in the block of a context.
#[derive(Debug, Clone)]
pub(super) struct Places {
    layout: Layout,
    count: usize,
    /// How many have contents that are to be dropped.
    drop_count: usize,
}

impl Places {
    pub(super) fn new() -> Places {
        Places { layout: Layout::new::<()>(), count: 0, drop_count: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Of the block, slots only.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// How many slots have contents that are to be dropped.
    pub(super) fn drop_count(&self) -> usize {
        self.drop_count
    }

    /// One slot more, of a layout for content of a type: where it is in the block.
    pub(super) fn push<T>(&mut self, slot: Layout) -> Result<usize, ReserveError> {
        check(slot)?;
        let too_large = |_| ReserveError::TooLarge { bytes: slot.size() };
        let (layout, offset) = self.layout.extend(slot).map_err(too_large)?;
        self.layout = layout;
        self.count += 1;
        self.drop_count += usize::from(core::mem::needs_drop::<T>());
        Ok(offset)
    }
}

/// Whether a slot of the layout can be.
pub(super) fn check(slot: Layout) -> Result<(), ReserveError> {
    match slot.align() <= ALIGN_MAX {
        true => Ok(()),
        false => Err(ReserveError::Align { align: slot.align() }),
    }
}

/// A slot with its status: the first byte says whether it is initialised.
#[repr(C)]
pub(super) struct Slot<T> {
    pub(super) status: u8,
    pub(super) content: core::mem::MaybeUninit<T>,
}

/// Zero, as memory comes.
pub(super) const EMPTY: u8 = 0;
pub(super) const BEGUN: u8 = 1;
pub(super) const READY: u8 = 2;

pub(super) fn slot_layout<T>() -> Layout {
    Layout::new::<Slot<T>>()
}

/// The layout of a slot for so many values.
pub(super) fn span_layout<T>(len: usize) -> Result<Layout, ReserveError> {
    let too_large = |_| ReserveError::TooLarge { bytes: len.saturating_mul(size_of::<T>()) };
    Span::<T>::layout(len).map_err(too_large)
}

/// A slot whose initialiser is at work. It is empty again if that panics.
pub(super) struct Begun(*mut u8);

impl Begun {
    /// Marks a slot as begun.
    ///
    /// # Safety
    ///
    /// It is the status of a slot, which is empty, and which is there until this is dropped or forgotten.
    pub(super) unsafe fn new(status: *mut u8) -> Begun {
        // SAFETY: the caller's promise.
        unsafe { *status = BEGUN };
        Begun(status)
    }

    /// The content is there.
    pub(super) fn end(self) {
        // SAFETY: the promise of `new`.
        unsafe { *self.0 = READY };
        core::mem::forget(self);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // SAFETY: the promise of `new`.
        unsafe { *self.0 = EMPTY };
    }
}
