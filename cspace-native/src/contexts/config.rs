//! Configurations: what contexts are laid out by, and what they share.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

use bytemuck::Zeroable;
use cspace_core::{Category, Ledger, MemoryFull};
use parking_lot::Mutex;

use super::class::Classes;
use super::context::Parts;
use super::handle::{next_owner, ContextHandle, WrongContext};
use super::slot::{check, slot_layout, span_layout, Places, ReserveError, SlotKey, SpanKey};
use super::store::{MakeError, Store, TypeMismatch};
use crate::bump::{chunk_bytes, NativeError};
use crate::cleanup::{CleanupPanics, Cleanups};

/// Bytes that a context has beside its slots, to begin with.
const SPARE_BYTES: usize = 4000;
/// Contexts that a configuration keeps to be used again, unless something else is set.
const POOLED_MAX: usize = 16;

/// A configuration that is being loaded: slots are reserved, and what is shared is made.
///
/// ```
/// use cspace_core::Ledger;
/// use cspace_native::{ConfigBuilder, Context};
///
/// let mut builder = ConfigBuilder::new(&Ledger::default())?;
/// let count = builder.reserve::<u32>()?;
/// let greeting = builder.localize("hello")?;
/// let config = builder.freeze();
///
/// let mut context = Context::new(&config)?;
/// *context.slot_or_init(&count, |_| 1)? += 1;
/// assert_eq!(context.slot(&count)?, Some(&2));
/// assert_eq!(context.config().get(greeting)?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ConfigBuilder {
    config: Config,
}

/// A configuration, shared by its contexts and by whoever makes them, from many threads at once.
///
/// It lives until the last of them is gone, so another one can take its place while contexts of this one are in use
/// ([`ConfigCell`](super::ConfigCell)).
pub struct Config {
    pub(super) id: u64,
    pub(super) ledger: Ledger,
    pub(super) places: Places,
    /// How many slots were reserved late. Only counts (`Relaxed`): each number is given out once.
    late_count: AtomicUsize,
    pub(super) pool: Mutex<Vec<Parts>>,
    pub(super) pooled_max: usize,
    spare_bytes: usize,
    store: Store,
    classes: Classes,
}

// SAFETY: what is in the store is `Send` and `Sync` (the methods of the builder see to it); it is changed by the
// builder alone, and when the last handle is dropped.
unsafe impl Sync for Config {}

impl ConfigBuilder {
    /// A configuration whose memory, and that of its contexts, is charged to a ledger.
    ///
    /// # Errors
    ///
    /// If the ledger is full.
    pub fn new(ledger: &Ledger) -> Result<ConfigBuilder, MemoryFull> {
        let store = Store::new(ledger.try_charge(Category::Contexts, 0)?);
        let config = Config {
            id: next_owner(),
            ledger: ledger.clone(),
            places: Places::new(),
            late_count: AtomicUsize::new(0),
            pool: Mutex::default(),
            pooled_max: POOLED_MAX,
            spare_bytes: SPARE_BYTES,
            store,
            classes: Classes::default(),
        };
        Ok(ConfigBuilder { config })
    }

    /// How many contexts are kept to be used again when they have ended. Default: 16.
    pub fn pooled_contexts(mut self, count: usize) -> ConfigBuilder {
        self.config.pooled_max = count;
        self
    }

    /// Bytes that each context has beside its slots, before it asks for more. Default: 4000.
    pub fn spare_bytes(mut self, bytes: usize) -> ConfigBuilder {
        self.config.spare_bytes = bytes;
        self
    }

    /// Reserves a slot in each context, empty until it is initialised.
    ///
    /// # Errors
    ///
    /// If the type has an alignment above 4096, or all slots together would be larger than any memory.
    pub fn reserve<T: Send + 'static>(&mut self) -> Result<SlotKey<T>, ReserveError> {
        let place = self.config.places.push::<T>(slot_layout::<T>())?;
        Ok(SlotKey::new(self.config.id, place))
    }

    /// Reserves a slot for `len` values in a row in each context (TxnBox's `ReservedSpan`), empty until they are
    /// initialised, all at once: by [`Context::span_or_init`](super::Context::span_or_init) or
    /// [`span_or_zeroed`](super::Context::span_or_zeroed).
    ///
    /// # Errors
    ///
    /// As [`reserve`](ConfigBuilder::reserve).
    pub fn reserve_span<T: Send + 'static>(
        &mut self,
        len: usize,
    ) -> Result<SpanKey<T>, ReserveError> {
        let place = self.config.places.push::<T>(span_layout::<T>(len)?)?;
        Ok(SpanKey::new(self.config.id, place, len))
    }

    /// Copies a text into the configuration.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn localize(&mut self, text: &str) -> Result<ContextHandle<str>, NativeError> {
        self.config.store.localize(text)
    }

    /// `len` values of zero in the configuration.
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn alloc_span<T: Zeroable + Copy + Send + Sync + 'static>(
        &mut self,
        len: usize,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        self.config.store.alloc_span(len)
    }

    /// `len` values in the configuration, which `init` makes from their numbers, and which are dropped at its end, the
    /// last one first. If `init` panics, the values that it made are dropped.
    ///
    /// # Errors
    ///
    /// If there is no memory; `init` is not called then.
    pub fn make_span<T: Send + Sync + 'static>(
        &mut self,
        len: usize,
        init: impl FnMut(usize) -> T,
    ) -> Result<ContextHandle<[T]>, NativeError> {
        self.config.store.make_span(len, init)
    }

    /// Puts a value into the configuration, which drops it at its end.
    ///
    /// # Errors
    ///
    /// If there is no memory; the value comes back.
    pub fn make<T: Send + Sync + 'static>(
        &mut self,
        value: T,
    ) -> Result<ContextHandle<T>, MakeError<T>> {
        self.config.store.make(value)
    }

    /// Something of the configuration, to change while it is loaded.
    ///
    /// # Errors
    ///
    /// If the handle belongs to another owner.
    pub fn get_mut<T: ?Sized>(&mut self, handle: ContextHandle<T>) -> Result<&mut T, WrongContext> {
        self.config.store.get_mut(handle)
    }

    /// The object with a name, which is made if there is none.
    ///
    /// # Errors
    ///
    /// If there is one of another type ([`TypeMismatch`] in the inner result), or no memory for a new one.
    pub fn obtain_named_object<T: Send + Sync + 'static>(
        &mut self,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> Result<Result<ContextHandle<T>, TypeMismatch>, NativeError> {
        self.config.store.obtain_named(name, make)
    }

    /// Data that all instances of a class `C` share, whatever the class is: made when it is first asked for, and dropped
    /// at the end of the configuration.
    ///
    /// # Panics
    ///
    /// If there is no memory; [`try_class_data`](ConfigBuilder::try_class_data) gives an error instead.
    #[track_caller]
    pub fn class_data<C: 'static, D: Default + Send + Sync + 'static>(&mut self) -> &mut D {
        match self.try_class_data::<C, D>() {
            Ok(data) => data,
            Err(full) => panic!("there is no memory for the data of a class: {full}"),
        }
    }

    /// As [`class_data`](ConfigBuilder::class_data).
    ///
    /// # Errors
    ///
    /// If there is no memory.
    pub fn try_class_data<C: 'static, D: Default + Send + Sync + 'static>(
        &mut self,
    ) -> Result<&mut D, NativeError> {
        let Config { ledger, store, classes, .. } = &mut self.config;
        let handle = match classes.find::<C, D>() {
            Some(found) => found,
            None => {
                classes.reserve(ledger)?;
                let made = store.make_by(D::default)?;
                classes.insert::<C, D>(made);
                made
            }
        };
        Ok(store.get_mut(handle).expect("its own"))
    }

    /// Has `call` called at the end of the configuration: after what was registered later, drops of values included.
    ///
    /// # Errors
    ///
    /// If there is no memory; the closure comes back.
    pub fn mark_for_cleanup<F: FnOnce() + Send + Sync + 'static>(
        &mut self,
        call: F,
    ) -> Result<(), MakeError<F>> {
        self.config.store.mark_for_cleanup(call)
    }

    /// Ends the loading.
    pub fn freeze(self) -> Arc<Config> {
        Arc::new(self.config)
    }
}

impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigBuilder").field("slots", &self.config.places.count()).finish()
    }
}

impl Config {
    /// Something of the configuration.
    ///
    /// # Errors
    ///
    /// If the handle belongs to another owner.
    pub fn get<T: ?Sized>(&self, handle: ContextHandle<T>) -> Result<&T, WrongContext> {
        self.store.get(handle)
    }

    /// The object with a name, if there is one.
    ///
    /// # Errors
    ///
    /// If it is of another type.
    pub fn named_object<T: Send + Sync + 'static>(
        &self,
        name: &str,
    ) -> Result<Option<&T>, TypeMismatch> {
        let found = self.store.named::<T>(name)?;
        Ok(found.map(|handle| self.store.get(handle).expect("its own")))
    }

    /// What all instances of a class share, if it was made while the configuration was loaded.
    pub fn class_data<C: 'static, D: Send + Sync + 'static>(&self) -> Option<&D> {
        Some(self.store.get(self.classes.find::<C, D>()?).expect("its own"))
    }

    /// Reserves a slot when there may be contexts already. It has memory in a context when it is first initialised
    /// there, beside the block.
    ///
    /// # Errors
    ///
    /// As [`ConfigBuilder::reserve`].
    pub fn reserve_late<T: Send + 'static>(&self) -> Result<SlotKey<T>, ReserveError> {
        check(slot_layout::<T>())?;
        Ok(SlotKey::new(self.id, self.late_place()))
    }

    /// As [`reserve_late`](Config::reserve_late), for `len` values in a row.
    ///
    /// # Errors
    ///
    /// As [`ConfigBuilder::reserve_span`].
    pub fn reserve_span_late<T: Send + 'static>(
        &self,
        len: usize,
    ) -> Result<SpanKey<T>, ReserveError> {
        check(span_layout::<T>(len)?)?;
        Ok(SpanKey::new(self.id, self.late_place(), len))
    }

    /// The number of one slot more.
    fn late_place(&self) -> usize {
        // A block is at most half of all that can be addressed, and nobody counts through the other half.
        self.places.layout().size() + self.late_count.fetch_add(1, Relaxed)
    }

    /// How many slots were reserved, late ones included.
    pub fn slot_count(&self) -> usize {
        self.places.count() + self.late_count.load(Relaxed)
    }

    /// Bytes of the block of each context: its slots, the notes of what to drop of them, and what it has beside.
    pub fn context_bytes(&self) -> usize {
        let slots = chunk_bytes(self.places.layout()).unwrap_or(usize::MAX);
        let drops = Cleanups::bytes(self.places.drop_count());
        slots.saturating_add(drops).saturating_add(self.spare_bytes)
    }

    /// How many contexts are kept to be used again.
    pub fn pooled_contexts(&self) -> usize {
        self.pool.lock().len()
    }

    /// Frees the contexts that are kept to be used again.
    pub fn trim(&self) {
        let pooled = core::mem::take(&mut *self.pool.lock());
        drop(pooled);
    }

    /// Ends the configuration, if this is its last handle, and says which cleanups panicked. A drop does the same and
    /// goes on with the first panic.
    ///
    /// # Errors
    ///
    /// If cleanups panicked. `None` if there are other handles.
    pub fn close(self: Arc<Config>) -> Option<Result<(), CleanupPanics>> {
        let mut config = Arc::into_inner(self)?;
        Some(config.store.cleanups.run())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("slots", &self.slot_count())
            .field("context_bytes", &self.context_bytes())
            .finish_non_exhaustive()
    }
}
