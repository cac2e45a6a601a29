//! The memory of an arena that several threads use.
//!
//! - **NB5 (open).** The memory is freed by the close that succeeds, or by the drop of the last handle. Who uses bytes has
//!   acquired the gate (P19) and has a handle.
//! - **NB6 (ranges).** Ranges that are given out do not overlap (NZ1). The bytes of one are read and written by who owns it
//!   alone, as Rust knows it ([`SharedSegment`](super::SharedSegment)); or, where handles can be copied, with the
//!   memory's lock in the mode that is needed.

use core::fmt;
use core::ptr::NonNull;

use cspace_core::Charge;
use parking_lot::lock_api::RawRwLock as _;
use parking_lot::{Mutex, RawRwLock};

use super::actions;
use super::error::{layout, ArenaError};
use crate::bump::Bump;
use crate::cleanup::CleanupPanics;
use crate::protocol::{CloseGate, NotClosed};

type Action = Box<dyn FnOnce() + Send>;

pub(super) struct Memory {
    pub(super) gate: CloseGate,
    lock: RawRwLock,
    /// None when it is closed.
    inside: Mutex<Option<Inside>>,
}

struct Inside {
    bump: Bump,
    actions: Vec<Action>,
}

impl Memory {
    pub(super) fn new(charge: Charge, limit: usize) -> Memory {
        let inside = Inside { bump: Bump::new(charge, limit), actions: Vec::new() };
        Memory { gate: CloseGate::new(), lock: RawRwLock::INIT, inside: Mutex::new(Some(inside)) }
    }

    /// A range of zeros.
    pub(super) fn allocate(&self, bytes: usize, align: usize) -> Result<NonNull<u8>, ArenaError> {
        let layout = layout(bytes, align)?;
        let mut inside = self.inside.lock();
        let inside = inside.as_mut().ok_or(ArenaError::Closed)?;
        Ok(inside.bump.allocate(layout)?)
    }

    /// Takes back a range that was given out last.
    pub(super) fn shrink_last(&self, place: NonNull<u8>, bytes: usize) {
        if let Some(inside) = &mut *self.inside.lock() {
            inside.bump.shrink_last(place, bytes, 0);
        }
    }

    /// Registers an action, or gives it back if the arena was closed.
    pub(super) fn on_close(&self, action: Action) -> Result<(), Action> {
        match &mut *self.inside.lock() {
            Some(inside) => {
                inside.actions.push(action);
                Ok(())
            }
            None => Err(action),
        }
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.inside.lock().as_ref().map_or(0, |inside| inside.bump.used())
    }

    /// Uses the memory, unless it is closed (NB5).
    pub(super) fn acquire(&self) -> Result<Use<'_>, ArenaError> {
        if self.gate.acquire() {
            Ok(Use(self))
        } else {
            Err(ArenaError::Closed)
        }
    }

    /// The bytes of a range, to read.
    ///
    /// # Safety
    ///
    /// The range was given out by this memory, and its bytes are used by way of this lock alone (NB6).
    pub(super) unsafe fn read(&self, range: NonNull<[u8]>) -> Result<Reading<'_>, ArenaError> {
        let open = self.acquire()?;
        if !self.lock.try_lock_shared() {
            return Err(ArenaError::Borrowed);
        }
        // SAFETY: there as long as it is acquired (NB5); nobody writes while the lock is held (NB6).
        Ok(Reading { bytes: unsafe { &*range.as_ptr() }, open })
    }

    /// The bytes of a range, to write.
    ///
    /// # Safety
    ///
    /// As for [`read`](Memory::read).
    pub(super) unsafe fn write(&self, range: NonNull<[u8]>) -> Result<Writing<'_>, ArenaError> {
        let open = self.acquire()?;
        if !self.lock.try_lock_exclusive() {
            return Err(ArenaError::Borrowed);
        }
        // SAFETY: as above, and nobody else has any bytes of the memory.
        Ok(Writing { bytes: unsafe { &mut *range.as_ptr() }, open })
    }

    /// Closes it: runs the actions, then frees the memory.
    pub(super) fn close(&self) -> Result<Result<(), CleanupPanics>, ArenaError> {
        self.gate.close().map_err(|error| match error {
            NotClosed::AlreadyClosed => ArenaError::Closed,
            NotClosed::Acquired(count) => ArenaError::Acquired { count },
        })?;
        // Whoever allocates or registers from here on finds nothing.
        let inside = self.inside.lock().take();
        Ok(inside.map_or(Ok(()), |inside| {
            let result = actions::run(inside.actions);
            drop(inside.bump);
            result
        }))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // The memory goes after the actions, also if one of them panics.
        if let Some(inside) = self.inside.get_mut().take() {
            let _bump = inside.bump;
            actions::run_in_drop(inside.actions);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("is_closed", &self.gate.is_closed()).finish_non_exhaustive()
    }
}

/// Memory that is acquired.
pub(super) struct Use<'a>(&'a Memory);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.gate.release();
    }
}

/// Bytes that are read.
pub(super) struct Reading<'a> {
    pub(super) bytes: &'a [u8],
    open: Use<'a>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // SAFETY: taken in `read`.
        unsafe { self.open.0.lock.unlock_shared() };
    }
}

/// Bytes that are written.
pub(super) struct Writing<'a> {
    pub(super) bytes: &'a mut [u8],
    open: Use<'a>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: taken in `write`.
        unsafe { self.open.0.lock.unlock_exclusive() };
    }
}
