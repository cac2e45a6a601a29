//! Contexts: one block with every slot at its place.
//!
//! - **NC2 (once).** A slot is initialised at most once in a context: who begins marks it as begun, and nobody else begins
//!   until that one has failed.
//! - **NC3 (one user).** A context is used by way of one reference to it, which initialisers do not get: they could put
//!   another context in its place. They get an [`Initializer`].
//! - **NC4 (zero).** Until it is initialised, the memory of a slot is zero.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Zeroable;
use cspace_core::Category;

use super::config::Config;
use super::handle::{ContextHandle, WrongContext};
use super::slot::{slot_layout, Begun, Slot, SlotError, SlotKey, EMPTY, READY};
use super::store::{MakeError, Store, TypeMismatch};
use super::transient::{Pending, Transient, TransientError};
use crate::bump::NativeError;
use crate::chain::Chain;
use crate::cleanup::CleanupPanics;

/// What of a context is used again.
pub(super) struct Parts {
    pub(super) store: Store,
    /// The block with the slots: the first thing in the store's memory.
    block: NonNull<u8>,
    /// Slots that were reserved late and are in use, by their places. Listed in the store's memory.
    overflow: Chain<(usize, NonNull<u8>)>,
    pub(super) pending: Option<Pending>,
}

// SAFETY: what is in a context is `Send`.
unsafe impl Send for Parts {}

/// The memory of one transaction, request or call (TxnBox's `Context`).
///
/// One block that has every slot of its [`Config`] at the same place in every context, and room for what else comes up,
/// all freed together. Used by one thread at a time: `Send`, not `Sync`. Made from what an ended context of the
/// configuration left, a context asks the system for nothing.
///
/// A slot may hold roots of a space: an `OwnedRoot` in it is traced by collections as anywhere else, and is dropped
/// with the context.
///
/// At its end, values are dropped and cleanups called in reverse order of their registration.
pub struct Context {
    config: Arc<Config>,
    /// None when it has ended.
    pub(super) parts: Option<Parts>,
}

impl Context {
    /// A context with empty slots.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn new(config: &Arc<Config>) -> Result<Context, NativeError> {
        let pooled = config.pool.lock().pop();
        let mut parts = match pooled {
            Some(parts) => parts,
            None => {
                let charge = config.ledger.try_charge(Category::Contexts, 0)?;
                let mut store = Store::new(charge);
                store.bump.grow_by(config.context_bytes().max(1))?;
                Parts {
                    store,
                    block: NonNull::dangling(),
                    overflow: Chain::default(),
                    pending: None,
                }
            }
        };
        parts.block = parts.store.bump.allocate(config.places.layout())?;
        Ok(Context { config: Arc::clone(config), parts: Some(parts) })
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub(super) fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("there until the context ends")
    }

    pub(super) fn parts_mut(&mut self) -> &mut Parts {
        self.parts.as_mut().expect("there until the context ends")
    }

    pub(super) fn check<T>(&self, key: &SlotKey<T>) -> Result<(), WrongContext> {
        if key.config == self.config.id {
            Ok(())
        } else {
            Err(WrongContext)
        }
    }

    /// The memory of the slot of a key of this configuration, if it has a place.
    pub(super) fn find<T>(&self, key: &SlotKey<T>) -> Option<NonNull<u8>> {
        let parts = self.parts();
        if key.place < self.config.places.layout().size() {
            // SAFETY: in the block, which has the slot there.
            return Some(unsafe { parts.block.add(key.place) });
        }
        let mut overflow = parts.overflow.iter();
        overflow.find(|(place, _)| *place == key.place).map(|(_, memory)| memory)
    }

    /// The memory of the slot of a key of this configuration, which gets a place if it has none: of a layout.
    pub(super) fn find_or_place<T>(
        &mut self,
        key: &SlotKey<T>,
        layout: Layout,
    ) -> Result<NonNull<u8>, NativeError> {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let parts = self.parts_mut();
        // SAFETY: the end of the context clears the overflow before it resets the store (NZ2).
        unsafe { parts.overflow.reserve(&mut parts.store.bump)? };
        let memory = parts.store.bump.allocate(layout)?;
        parts.overflow.push((key.place, memory));
        Ok(memory)
    }

    /// What is in a slot, if it was initialised.
    ///
    /// # Errors
    ///
    /// If the key is of another configuration.
    pub fn slot<T: Send + 'static>(&self, key: &SlotKey<T>) -> Result<Option<&T>, WrongContext> {
        self.check(key)?;
        let Some(slot) = self.find(key).map(NonNull::cast::<Slot<T>>) else { return Ok(None) };
        // SAFETY: the slot lies in the context's memory; this context is borrowed, so nobody changes it.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: ready: it was initialised (NC2).
        Ok((slot.status == READY).then(|| unsafe { slot.content.assume_init_ref() }))
    }

    /// What is in a slot, to change, if it was initialised.
    ///
    /// # Errors
    ///
    /// If the key is of another configuration.
    pub fn slot_mut<T: Send + 'static>(
        &mut self,
        key: &SlotKey<T>,
    ) -> Result<Option<&mut T>, WrongContext> {
        self.check(key)?;
        let Some(mut slot) = self.find(key).map(NonNull::cast::<Slot<T>>) else { return Ok(None) };
        // SAFETY: as above; this context is borrowed mutably.
        let slot = unsafe { slot.as_mut() };
        // SAFETY: as above.
        Ok((slot.status == READY).then(|| unsafe { slot.content.assume_init_mut() }))
    }

    /// What is in a slot, which `init` makes if nothing is there yet: at most once in a context. It is dropped with
    /// the context. If `init` panics the slot stays empty.
    ///
    /// ```
    /// # use cspace_core::Ledger;
    /// # use cspace_native::{ConfigBuilder, Context};
    /// let mut builder = ConfigBuilder::new(&Ledger::default())?;
    /// let (width, area) = (builder.reserve::<u32>()?, builder.reserve::<u32>()?);
    /// let mut context = Context::new(&builder.freeze())?;
    /// // Initialisers may use other slots.
    /// let found = context.slot_or_init(&area, |context| {
    ///     let width = *context.slot_or_init(&width, |_| 6).unwrap();
    ///     width * width
    /// })?;
    /// assert_eq!(*found, 36);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the key is of another configuration, `init` asks for this same slot, or there is no memory: for a slot that
    /// was reserved late, or to note that something is to be dropped, for which the block has room once for each slot.
    /// If `init` used up that room and there is no other, what it made is dropped and the slot stays empty.
    pub fn slot_or_init<T: Send + 'static>(
        &mut self,
        key: &SlotKey<T>,
        init: impl FnOnce(&mut Initializer<'_>) -> T,
    ) -> Result<&mut T, SlotError> {
        self.check(key)?;
        let mut slot = self.find_or_place(key, slot_layout::<T>())?.cast::<Slot<T>>();
        // SAFETY: the slot lies in this context's memory, which is there as long as the context; only its status is
        // read here.
        match unsafe { (*slot.as_ptr()).status } {
            READY => {}
            EMPTY => {
                self.store_mut().reserve_drop::<T>()?;
                // SAFETY: as above. No reference to the slot exists while the initialiser runs, and the context goes
                // on (NC3).
                let begun = unsafe { Begun::new(&raw mut (*slot.as_ptr()).status) };
                let content = init(&mut Initializer { context: self });
                // Again: the initialiser may have used what was reserved. The slot is empty if there is no other.
                let store = self.store_mut();
                store.reserve_drop::<T>()?;
                // SAFETY: the slot is this one's to write (NC2); its content stays at its place until the cleanups run.
                unsafe {
                    let place = (&raw mut (*slot.as_ptr()).content).cast::<T>();
                    place.write(content);
                    begun.end();
                    store.cleanups.push_drop(NonNull::new_unchecked(place));
                }
            }
            _ => return Err(SlotError::Reentered),
        }
        // SAFETY: ready: initialised (NC2); the context is borrowed mutably.
        Ok(unsafe { slot.as_mut().content.assume_init_mut() })
    }

    /// What is in a slot: zero, if nothing was put there yet. For what is large, as it is made nowhere else and moved.
    ///
    /// ```
    /// # use cspace_core::Ledger;
    /// # use cspace_native::{ConfigBuilder, Context};
    /// let mut builder = ConfigBuilder::new(&Ledger::default())?;
    /// let counts = builder.reserve::<[u64; 1000]>()?;
    /// let mut context = Context::new(&builder.freeze())?;
    /// context.slot_or_zeroed(&counts)?[7] += 1;
    /// assert_eq!(context.slot_or_zeroed(&counts)?[7..9], [1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`slot_or_init`](Context::slot_or_init).
    pub fn slot_or_zeroed<T: Zeroable + Copy + Send + 'static>(
        &mut self,
        key: &SlotKey<T>,
    ) -> Result<&mut T, SlotError> {
        self.check(key)?;
        let mut slot = self.find_or_place(key, slot_layout::<T>())?.cast::<Slot<T>>();
        // SAFETY: the slot lies in this context's memory, which is borrowed mutably.
        let slot = unsafe { slot.as_mut() };
        match slot.status {
            READY => {}
            // Zero is a value (`Zeroable`), and it is there (NC4). What is `Copy` has no drop to register.
            EMPTY => slot.status = READY,
            _ => return Err(SlotError::Reentered),
        }
        // SAFETY: ready: initialised (NC2).
        Ok(unsafe { slot.content.assume_init_mut() })
    }

    /// Something of this context.
    ///
    /// # Errors
    ///
    /// If the handle belongs to another owner, or to what this was before it was used again.
    pub fn get<T: ?Sized>(&self, handle: ContextHandle<T>) -> Result<&T, WrongContext> {
        self.parts().store.get(handle)
    }

    /// Something of this context, to change.
    ///
    /// # Errors
    ///
    /// As [`get`](Context::get).
    pub fn get_mut<T: ?Sized>(&mut self, handle: ContextHandle<T>) -> Result<&mut T, WrongContext> {
        self.parts_mut().store.get_mut(handle)
    }

    /// `len` values of zero.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn alloc_span<T: Zeroable + Copy + Send + 'static>(
        &mut self,
        len: usize,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        self.store_mut().alloc_span(len)
    }

    /// `len` values, which `init` makes from their numbers, and which the context drops at its end, the last one first.
    ///
    /// If `init` panics, the values that it made are dropped.
    ///
    /// ```
    /// # use cspace_core::Ledger;
    /// # use cspace_native::{ConfigBuilder, Context};
    /// let mut context = Context::new(&ConfigBuilder::new(&Ledger::default())?.freeze())?;
    /// let names = context.make_span(3, |i| format!("field {i}"))?;
    /// context.get_mut(names)?[1].push('!');
    /// assert_eq!(context.get(names)?, ["field 0", "field 1!", "field 2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no memory; `init` is not called then.
    pub fn make_span<T: Send + 'static>(
        &mut self,
        len: usize,
        init: impl FnMut(usize) -> T,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        self.store_mut().make_span(len, init)
    }

    /// Copies a text into the context.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn localize(&mut self, text: &str) -> Result<ContextHandle<str>, NativeError> {
        self.store_mut().localize(text)
    }

    /// Puts a value into the context, which drops it at its end.
    ///
    /// # Errors
    ///
    /// If there is no memory; the value comes back.
    pub fn make<T: Send + 'static>(&mut self, value: T) -> Result<ContextHandle<T>, MakeError<T>> {
        self.store_mut().make(value)
    }

    /// The object with a name, which is made if there is none.
    ///
    /// # Errors
    ///
    /// If there is one of another type ([`TypeMismatch`] in the inner result), or no memory for a new one.
    pub fn obtain_named_object<T: Send + 'static>(
        &mut self,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> Result<Result<ContextHandle<T>, TypeMismatch>, NativeError> {
        self.store_mut().obtain_named(name, make)
    }

    /// The object with a name, if there is one.
    ///
    /// # Errors
    ///
    /// If it is of another type.
    pub fn named_object<T: Send + 'static>(
        &self,
        name: &str,
    ) -> Result<Option<ContextHandle<T>>, TypeMismatch> {
        self.parts().store.named(name)
    }

    /// Has `call` called at the end of the context: after what was registered later, drops of values included.
    ///
    /// # Errors
    ///
    /// If there is no memory; the closure comes back.
    pub fn mark_for_cleanup<F: FnOnce() + Send + 'static>(
        &mut self,
        call: F,
    ) -> Result<(), MakeError<F>> {
        self.store_mut().mark_for_cleanup(call)
    }

    /// At least `len` bytes to write to, of which what is needed is kept afterwards: for text whose length is known
    /// when it is written. What a buffer before this one left finalized is committed.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn transient_buffer(&mut self, len: usize) -> Result<Transient<'_>, TransientError> {
        self.commit();
        Transient::new(self, len)
    }

    /// The bytes that the last buffer left finalized, if they were not committed or discarded since.
    pub fn pending(&self) -> Option<&[u8]> {
        let pending = self.parts().pending.as_ref()?;
        // SAFETY: written, and in the context's memory, until they are discarded, which takes a mutable borrow.
        Some(unsafe { pending.bytes().as_ref() })
    }

    /// Keeps what the last buffer left finalized, to the end of the context.
    pub fn commit(&mut self) -> Option<ContextHandle<[u8]>> {
        let parts = self.parts_mut();
        let pending = parts.pending.take()?;
        Some(ContextHandle::new(parts.store.owner, pending.bytes()))
    }

    /// Drops what the last buffer left finalized. The next one may use the same bytes.
    pub fn discard(&mut self) {
        let parts = self.parts_mut();
        if let Some(pending) = parts.pending.take() {
            parts.store.bump.shrink_last(pending.place, pending.len, 0);
        }
    }

    pub(super) fn store_mut(&mut self) -> &mut Store {
        &mut self.parts_mut().store
    }

    /// Bytes in use: slots, and what was put in.
    pub fn used_bytes(&self) -> usize {
        self.parts().store.bump.used()
    }

    /// Ends the context, and says which cleanups panicked. A drop does the same and goes on with the first panic.
    ///
    /// # Errors
    ///
    /// If cleanups panicked. All were done.
    pub fn close(mut self) -> Result<(), CleanupPanics> {
        self.end()
    }

    fn end(&mut self) -> Result<(), CleanupPanics> {
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        let result = parts.store.cleanups.run();
        parts.overflow.clear();
        parts.pending = None;
        parts.store.reset(self.config.context_bytes().max(1));
        let mut pool = self.config.pool.lock();
        if pool.len() < self.config.pooled_max && pool.try_reserve(1).is_ok() {
            pool.push(parts);
        }
        result
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Err(panics) = self.end() {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new(panics.to_string()));
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("used_bytes", &self.used_bytes()).finish_non_exhaustive()
    }
}

/// A context for whoever initialises a slot of it: other slots, and memory, but not the context itself (NC3).
pub struct Initializer<'a> {
    pub(super) context: &'a mut Context,
}

impl Initializer<'_> {
    /// As [`Context::slot`].
    ///
    /// # Errors
    ///
    /// As [`Context::slot`].
    pub fn slot<T: Send + 'static>(&self, key: &SlotKey<T>) -> Result<Option<&T>, WrongContext> {
        self.context.slot(key)
    }

    /// As [`Context::slot_mut`].
    ///
    /// # Errors
    ///
    /// As [`Context::slot_mut`].
    pub fn slot_mut<T: Send + 'static>(
        &mut self,
        key: &SlotKey<T>,
    ) -> Result<Option<&mut T>, WrongContext> {
        self.context.slot_mut(key)
    }

    /// As [`Context::slot_or_init`]: for the slot that is being initialised, an error.
    ///
    /// # Errors
    ///
    /// As [`Context::slot_or_init`].
    pub fn slot_or_init<T: Send + 'static>(
        &mut self,
        key: &SlotKey<T>,
        init: impl FnOnce(&mut Initializer<'_>) -> T,
    ) -> Result<&mut T, SlotError> {
        self.context.slot_or_init(key, init)
    }

    /// As [`Context::slot_or_zeroed`].
    ///
    /// # Errors
    ///
    /// As [`Context::slot_or_zeroed`].
    pub fn slot_or_zeroed<T: Zeroable + Copy + Send + 'static>(
        &mut self,
        key: &SlotKey<T>,
    ) -> Result<&mut T, SlotError> {
        self.context.slot_or_zeroed(key)
    }

    /// As [`Context::make_span`].
    ///
    /// # Errors
    ///
    /// As [`Context::make_span`].
    pub fn make_span<T: Send + 'static>(
        &mut self,
        len: usize,
        init: impl FnMut(usize) -> T,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        self.context.make_span(len, init)
    }

    /// As [`Context::localize`].
    ///
    /// # Errors
    ///
    /// As [`Context::localize`].
    pub fn localize(&mut self, text: &str) -> Result<ContextHandle<str>, NativeError> {
        self.context.localize(text)
    }

    /// As [`Context::make`].
    ///
    /// # Errors
    ///
    /// As [`Context::make`].
    pub fn make<T: Send + 'static>(&mut self, value: T) -> Result<ContextHandle<T>, MakeError<T>> {
        self.context.make(value)
    }

    /// As [`Context::get`].
    ///
    /// # Errors
    ///
    /// As [`Context::get`].
    pub fn get<T: ?Sized>(&self, handle: ContextHandle<T>) -> Result<&T, WrongContext> {
        self.context.get(handle)
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        self.context.config()
    }
}

impl fmt::Debug for Initializer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context.fmt(f)
    }
}
