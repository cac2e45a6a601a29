//! Spans of contexts: slots for several values, whose number is known when they are reserved.
//!
//! What TxnBox's `ReservedSpan` is. The invariants are those of slots (NC2–NC4), for all values of a span together.

use core::alloc::Layout;
use core::ptr::NonNull;

use bytemuck::Zeroable;

use super::context::{Context, Initializer};
use super::handle::WrongContext;
use super::slot::{span_layout, Begun, SlotError, SpanKey, EMPTY, READY};
use crate::bump::NativeError;
use crate::source::SystemFull;
use crate::span::Span;

impl Context {
    /// The values of a span of a key of this configuration, if they were initialised.
    fn find_span<T>(&self, key: &SpanKey<T>) -> Option<NonNull<[T]>> {
        let span = Span::<T>::at(self.find(&key.slot)?);
        // SAFETY: the span lies in the context's memory; nobody writes its status while the context is borrowed. What
        // is ready has its head and its values.
        unsafe { (*span.status() == READY).then(|| span.values()) }
    }

    /// The span of a key of this configuration, which gets a place if it has none.
    fn find_or_place_span<T>(&mut self, key: &SpanKey<T>) -> Result<Span<T>, NativeError> {
        let bytes = key.len.saturating_mul(size_of::<T>());
        let layout: Layout = span_layout::<T>(key.len).map_err(|_| SystemFull { bytes })?;
        let memory = self.find_or_place(&key.slot, layout)?;
        // SAFETY: the memory is the slot's: zero, or a span of this type and length already.
        Ok(unsafe { Span::new(memory, key.len) })
    }

    /// What is in a span, if it was initialised.
    ///
    /// # Errors
    ///
    /// If the key is of another configuration.
    pub fn span<T: Send + 'static>(&self, key: &SpanKey<T>) -> Result<Option<&[T]>, WrongContext> {
        self.check(&key.slot)?;
        // SAFETY: initialised (NC2), in the memory of this context, which is borrowed.
        Ok(self.find_span(key).map(|values| unsafe { values.as_ref() }))
    }

    /// What is in a span, to change, if it was initialised.
    ///
    /// # Errors
    ///
    /// If the key is of another configuration.
    pub fn span_mut<T: Send + 'static>(
        &mut self,
        key: &SpanKey<T>,
    ) -> Result<Option<&mut [T]>, WrongContext> {
        self.check(&key.slot)?;
        // SAFETY: as above; this context is borrowed mutably.
        Ok(self.find_span(key).map(|mut values| unsafe { values.as_mut() }))
    }

    /// What is in a span, which `init` makes if nothing is there yet, one value after the other from their numbers: at
    /// most once in a context. The values are dropped with the context, the last one first. If `init` panics, those
    /// that it made are dropped, and the span stays empty.
    ///
    /// ```
    /// # use cspace_core::Ledger;
    /// # use cspace_native::{ConfigBuilder, Context};
    /// let fields = ["host", "path"]; // Known when the configuration is loaded.
    /// let mut builder = ConfigBuilder::new(&Ledger::default())?;
    /// let key = builder.reserve_span::<String>(fields.len())?;
    /// let mut context = Context::new(&builder.freeze())?;
    /// let values = context.span_or_init(&key, |_, i| format!("{}: ", fields[i]))?;
    /// values[1].push_str("/index");
    /// assert_eq!(context.span(&key)?.unwrap(), ["host: ", "path: /index"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`slot_or_init`](Context::slot_or_init), before `init` is called for the first time, or, if it used up the
    /// room that there was, after it was for the last.
    pub fn span_or_init<T: Send + 'static>(
        &mut self,
        key: &SpanKey<T>,
        mut init: impl FnMut(&mut Initializer<'_>, usize) -> T,
    ) -> Result<&mut [T], SlotError> {
        self.check(&key.slot)?;
        let span = self.find_or_place_span(key)?;
        // SAFETY: the span lies in this context's memory, which is there as long as the context.
        match unsafe { *span.status() } {
            READY => {}
            EMPTY => {
                self.store_mut().reserve_drop::<T>()?;
                // SAFETY: as above, and the context goes on (NC3).
                let begun = unsafe { Begun::new(span.status()) };
                // SAFETY: it is empty, and nobody else's while it is begun (NC2).
                unsafe { span.fill(|at| init(&mut Initializer { context: self }, at)) };
                // Again: the initialiser may have used what was reserved.
                if let Err(full) = self.store_mut().reserve_drop::<T>() {
                    // Empty first, as the drops of the values may panic.
                    drop(begun);
                    // SAFETY: all of them are initialised, and nobody else's.
                    unsafe { span.clear(key.len) };
                    return Err(full.into());
                }
                begun.end();
                // SAFETY: initialised, at their place until the cleanups run.
                unsafe { self.store_mut().cleanups.push_drop_span(span) };
            }
            _ => return Err(SlotError::Reentered),
        }
        // SAFETY: ready: initialised (NC2); the context is borrowed mutably.
        Ok(unsafe { span.values().as_mut() })
    }

    /// What is in a span: zeros, if nothing was put there yet (TxnBox's `storage_for`).
    ///
    /// ```
    /// # use cspace_core::Ledger;
    /// # use cspace_native::{ConfigBuilder, Context};
    /// let mut builder = ConfigBuilder::new(&Ledger::default())?;
    /// let key = builder.reserve_span::<u8>(1000)?;
    /// let mut context = Context::new(&builder.freeze())?;
    /// context.span_or_zeroed(&key)?[7] = 1;
    /// assert_eq!(context.span_or_zeroed(&key)?[6..9], [0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`slot_or_init`](Context::slot_or_init).
    pub fn span_or_zeroed<T: Zeroable + Copy + Send + 'static>(
        &mut self,
        key: &SpanKey<T>,
    ) -> Result<&mut [T], SlotError> {
        self.check(&key.slot)?;
        let span = self.find_or_place_span(key)?;
        // SAFETY: the span lies in this context's memory, which is borrowed mutably.
        match unsafe { &mut *span.status() } {
            &mut READY => {}
            // Zero is a value (`Zeroable`), and it is there (NC4). What is `Copy` has no drop to register.
            status @ &mut EMPTY => *status = READY,
            _ => return Err(SlotError::Reentered),
        }
        // SAFETY: ready: initialised (NC2).
        Ok(unsafe { span.values().as_mut() })
    }
}

impl Initializer<'_> {
    /// As [`Context::span`].
    ///
    /// # Errors
    ///
    /// As [`Context::span`].
    pub fn span<T: Send + 'static>(&self, key: &SpanKey<T>) -> Result<Option<&[T]>, WrongContext> {
        self.context.span(key)
    }

    /// As [`Context::span_mut`].
    ///
    /// # Errors
    ///
    /// As [`Context::span_mut`].
    pub fn span_mut<T: Send + 'static>(
        &mut self,
        key: &SpanKey<T>,
    ) -> Result<Option<&mut [T]>, WrongContext> {
        self.context.span_mut(key)
    }

    /// As [`Context::span_or_init`]: for the span that is being initialised, an error.
    ///
    /// # Errors
    ///
    /// As [`Context::span_or_init`].
    pub fn span_or_init<T: Send + 'static>(
        &mut self,
        key: &SpanKey<T>,
        init: impl FnMut(&mut Initializer<'_>, usize) -> T,
    ) -> Result<&mut [T], SlotError> {
        self.context.span_or_init(key, init)
    }

    /// As [`Context::span_or_zeroed`].
    ///
    /// # Errors
    ///
    /// As [`Context::span_or_zeroed`].
    pub fn span_or_zeroed<T: Zeroable + Copy + Send + 'static>(
        &mut self,
        key: &SpanKey<T>,
    ) -> Result<&mut [T], SlotError> {
        self.context.span_or_zeroed(key)
    }
}
