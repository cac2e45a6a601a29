//! What is to be done at the end: in reverse order, all of it, whatever panics.

use core::fmt;
use core::ptr::NonNull;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use cspace_core::collector::panic_message;

use crate::bump::{Bump, NativeError};
use crate::chain::Chain;
use crate::span::Span;

/// Cleanups that panicked. All others were done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of the cleanups panicked, the first with: {}", .messages.len(), .messages[0])]
pub struct CleanupPanics {
    /// Their messages, in the order in which they ran. At least one.
    pub messages: Vec<String>,
}

/// The messages of what panicked.
#[derive(Default)]
struct Panics(Vec<String>);

impl Panics {
    fn catch(&mut self, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.0.push(panic_message(panic));
        }
    }
}

/// A call with a place that it was registered for. It does not unwind.
#[derive(Clone, Copy)]
struct Cleanup {
    place: NonNull<u8>,
    run: unsafe fn(NonNull<u8>, &mut Panics),
}

/// Cleanups in the order of their registration.
#[derive(Default)]
pub(crate) struct Cleanups(Chain<Cleanup>);

// SAFETY: places that are registered have content that may be dropped on any thread (`push_drop`, `push_call`); the
// memory that they are listed in moves with them.
unsafe impl Send for Cleanups {}

impl Cleanups {
    /// Bytes of the bump for so many cleanups, at most.
    pub(crate) fn bytes(count: usize) -> usize {
        Chain::<Cleanup>::bytes(count)
    }

    /// Makes room for one, so that `push_call` does not fail.
    ///
    /// # Safety
    ///
    /// What the bump gives out stays until the cleanups are cleared, or are not used any more.
    pub(crate) unsafe fn reserve(&mut self, bump: &mut Bump) -> Result<(), NativeError> {
        // SAFETY: the caller's promise.
        unsafe { self.0.reserve(bump) }
    }

    /// Makes room for the drop of a value, if it has one, so that `push_drop` does not fail.
    ///
    /// # Safety
    ///
    /// As for `reserve`.
    pub(crate) unsafe fn reserve_drop<T>(&mut self, bump: &mut Bump) -> Result<(), NativeError> {
        if core::mem::needs_drop::<T>() {
            // SAFETY: the caller's promise.
            unsafe { self.0.reserve(bump)? };
        }
        Ok(())
    }

    /// Forgets the memory in which they were listed. They have run.
    pub(crate) fn clear(&mut self) {
        debug_assert!(self.0.iter().next().is_none(), "cleanups run before a reset");
        self.0.clear();
    }

    /// Registers the drop of a value, if it has one.
    ///
    /// # Safety
    ///
    /// The value stays at its place, initialised, until the cleanups run, which drops it; nobody uses it after. It is
    /// `Send`.
    pub(crate) unsafe fn push_drop<T: Send>(&mut self, place: NonNull<T>) {
        /// # Safety
        ///
        /// As for `push_drop`, once.
        unsafe fn drop_at<T>(place: NonNull<u8>, panics: &mut Panics) {
            // SAFETY: the promise of `push_drop`.
            panics.catch(|| unsafe { place.cast::<T>().drop_in_place() });
        }
        if core::mem::needs_drop::<T>() {
            self.0.push(Cleanup { place: place.cast(), run: drop_at::<T> });
        }
    }

    /// Registers the drops of the values of a span, if they have any, the last one first.
    ///
    /// # Safety
    ///
    /// As for `push_drop`, of all values of the span, and for its head.
    pub(crate) unsafe fn push_drop_span<T: Send>(&mut self, span: Span<T>) {
        /// # Safety
        ///
        /// As for `push_drop_span`, once.
        unsafe fn drop_all<T>(head: NonNull<u8>, panics: &mut Panics) {
            // SAFETY: the promise of `push_drop_span`.
            let values = unsafe { Span::<T>::at(head).values() };
            for at in (0..values.len()).rev() {
                // SAFETY: as above: the value is initialised and is dropped once.
                panics.catch(|| unsafe { values.cast::<T>().add(at).drop_in_place() });
            }
        }
        if core::mem::needs_drop::<T>() {
            self.0.push(Cleanup { place: span.head(), run: drop_all::<T> });
        }
    }

    /// Registers a call.
    ///
    /// # Safety
    ///
    /// The closure stays at its place, initialised, until the cleanups run, which reads it out. It is `Send`.
    pub(crate) unsafe fn push_call<F: FnOnce() + Send>(&mut self, place: NonNull<F>) {
        /// # Safety
        ///
        /// As for `push_call`, once.
        unsafe fn call_at<F: FnOnce()>(place: NonNull<u8>, panics: &mut Panics) {
            // SAFETY: the promise of `push_call`; it is read once.
            panics.catch(unsafe { place.cast::<F>().read() });
        }
        self.0.push(Cleanup { place: place.cast(), run: call_at::<F> });
    }

    /// Runs them, the last one first, those that they register included.
    pub(crate) fn run(&mut self) -> Result<(), CleanupPanics> {
        let mut panics = Panics::default();
        while let Some(Cleanup { place, run }) = self.0.pop() {
            // SAFETY: registered with its place, and taken out: it runs once.
            unsafe { run(place, &mut panics) };
        }
        if panics.0.is_empty() {
            return Ok(());
        }
        Err(CleanupPanics { messages: panics.0 })
    }

    /// Runs them where no error can be returned: goes on with the first panic, unless one is under way.
    pub(crate) fn run_in_drop(&mut self) {
        if let Err(panics) = self.run() {
            if !std::thread::panicking() {
                resume_unwind(Box::new(panics.to_string()));
            }
        }
    }
}

impl fmt::Debug for Cleanups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanups").field("len", &self.0.iter().count()).finish()
    }
}
