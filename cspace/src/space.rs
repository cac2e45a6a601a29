//! [`CSpace`]: an object space with its collector.

use core::fmt;
use core::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cspace_core::{
    CollectError, Event, Exclusive, GcAny, LockError, LockMode, MultiGuard, PanicPolicy, Space,
    WeakSpace,
};
use cspace_evict::{Evicted, EvictionStats, Evictor};
use cspace_gc::{GcControl, GcDriver, GcMode, GcPool, GcSettings, Patience, StartError, StopError};

/// A space of garbage-collected objects behind one lock, with its collector.
///
/// A `CSpace` is a handle: `Clone`, `Send`, `Sync`; the objects live until the last one is dropped. What
/// one does with a space is in [`Space`], to which it dereferences.
///
/// ```
/// use cspace::CSpace;
///
/// let space = CSpace::new();
/// let root = space.exclusive(|cx| cx.root(cx.alloc("kept".to_string())));
/// space.exclusive(|cx| {
///     cx.alloc("garbage".to_string());
/// });
/// space.synchronous_gc()?;
/// assert_eq!(space.num_objects(), 1);
/// assert_eq!(space.shared(|cx| root.get(cx).len()), 4);
/// # Ok::<(), cspace::CollectError>(())
/// ```
///
/// By default a thread of the space's own collects when enough was allocated, and by time if there is a
/// [`gc_period`](Builder::gc_period). Dropping the last handle stops it and drops every object, on the thread
/// where that happens.
#[derive(Clone)]
pub struct CSpace {
    space: Space,
    /// None if there is no collector.
    control: Option<Arc<GcControl>>,
    evictor: Arc<Evictor>,
}

/// A space could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] cspace_core::SettingError),
    /// The collector's thread could not be started. The space is here, and usable: collections happen by
    /// explicit calls until [`CSpace::start_gc`] succeeds.
    #[error("{source}")]
    NotStarted {
        /// The space.
        space: CSpace,
        /// Why its collector was not started.
        source: StartError,
    },
}

impl CSpace {
    /// A space with default settings.
    ///
    /// # Panics
    ///
    /// If the system gives no thread for its collector; [`builder`](CSpace::builder) returns that as an error.
    #[track_caller]
    pub fn new() -> CSpace {
        CSpace::builder().build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// A builder with default settings.
    pub fn builder() -> Builder {
        let evictor = Evictor::new();
        let space = Space::builder().eviction_policy(evictor.clone());
        Builder { space, gc: GcSettings::default(), evictor }
    }

    /// A handle that does not keep the space alive, for objects of the space that need to find it.
    pub fn downgrade(&self) -> WeakCSpace {
        WeakCSpace {
            space: self.space.downgrade(),
            control: self.control.as_ref().map(Arc::downgrade),
            evictor: Arc::downgrade(&self.evictor),
        }
    }

    /// Stops the collector and destroys the space now, if this is its last handle (ceda's `Destroy`). Every object
    /// is dropped.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there are others, or if the collector cannot be stopped or waited for here, as in an
    /// access or in what a collection calls ([`stop_gc`](CSpace::stop_gc)); it goes on. The collector's own handles
    /// do not count: what it is doing, on whatever thread, is waited for, with the drops and cleaners that it runs.
    /// So do not hold what these may want.
    pub fn destroy(self) -> Result<(), CSpace> {
        let CSpace { space, control, evictor } = self;
        // A driver of the embedder's has no handle while it waits, and ends by itself.
        let running = control.as_ref().is_some_and(|control| control.has_own_driver());
        if let (true, Some(running)) = (running, &control) {
            if running.pause(&space).is_err() {
                return Err(CSpace { space, control, evictor });
            }
        }
        let Err(space) = space.destroy() else { return Ok(()) };
        if let (true, Some(stopped)) = (running, &control) {
            // There was a thread a moment ago. If there is none now, `start_gc` says why.
            let _ = stopped.start(&space);
        }
        Err(CSpace { space, control, evictor })
    }

    /// Takes the locks of several spaces; see [`Space::lock_multiple`].
    ///
    /// # Errors
    ///
    /// As [`Space::lock_multiple`].
    pub fn lock_multiple<'s>(
        spaces: impl IntoIterator<Item = (&'s CSpace, LockMode)>,
    ) -> Result<MultiGuard<'s>, LockError> {
        Space::lock_multiple(spaces.into_iter().map(|(space, mode)| (&space.space, mode)))
    }

    /// Whether two handles are of one space.
    pub fn ptr_eq(a: &CSpace, b: &CSpace) -> bool {
        Space::ptr_eq(&a.space, &b.space)
    }

    // ---- eviction

    /// How many bytes of evictable objects may be resident (ceda's `GetEvictionThreshold`); `None`: all.
    pub fn eviction_threshold(&self) -> Option<usize> {
        self.evictor.eviction_threshold()
    }

    /// Sets how many bytes of evictable objects may be resident after a collection (ceda's
    /// `SetEvictionThreshold`), from the next one on. `None` keeps all, 0 keeps none that nothing else holds.
    ///
    /// In each collection the sizes of all [`Evictable`](crate::Evictable) references that are found are added up.
    /// If that is more, the least recently touched of those whose objects nothing else holds are let go of, until
    /// it is within the threshold or none is left. Objects that something else holds count, and stay.
    ///
    /// In a space with a [period](CSpace::set_gc_period) the next collection comes when that is over, though nothing be
    /// allocated; without one, [ask](Space::request_gc) for it if it is urgent.
    ///
    /// ```
    /// use cspace::CSpace;
    ///
    /// let space = CSpace::builder().eviction_threshold(100).build()?;
    /// let (old, new) = space.exclusive(|cx| {
    ///     let (old, new) = (cx.evictable_root(cx.alloc(1u64)), cx.evictable_root(cx.alloc(2u64)));
    ///     old.evictable(cx).set_size_bytes(cx, 60);
    ///     new.evictable(cx).set_size_bytes(cx, 60);
    ///     (old, new)
    /// });
    /// space.synchronous_gc()?;
    /// space.shared(|cx| assert!(old.is_evicted(cx) && new.get(cx).is_some()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_eviction_threshold(&self, bytes: impl Into<Option<usize>>) {
        self.evictor.set_eviction_threshold(bytes.into());
    }

    /// How many evictable objects may be resident; `None`: any number.
    pub fn max_evictable_objects(&self) -> Option<usize> {
        self.evictor.max_evictable_objects()
    }

    /// Sets how many evictable objects may be resident after a collection, whatever their size, from the next one
    /// on; when that comes, see [`set_eviction_threshold`](CSpace::set_eviction_threshold).
    pub fn set_max_evictable_objects(&self, count: impl Into<Option<usize>>) {
        self.evictor.set_max_evictable_objects(count.into());
    }

    /// Calls `f` with each evictable object that is let go of from now on, instead of what was set before; see
    /// [`Evictor::on_evict`].
    ///
    /// ```
    /// use cspace::CSpace;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::sync::Arc;
    ///
    /// let space = CSpace::builder().eviction_threshold(0).build()?;
    /// let written = Arc::new(AtomicU64::new(0));
    /// let disk = Arc::clone(&written);
    /// space.on_evict(move |_, object| {
    ///     disk.store(*object.downcast::<u64>().unwrap(), Ordering::Relaxed);
    /// });
    /// let page = space.exclusive(|cx| cx.evictable_root(cx.alloc(7u64)));
    /// space.synchronous_gc()?;
    /// assert!(space.shared(|cx| page.is_evicted(cx)));
    /// assert_eq!(written.load(Ordering::Relaxed), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_evict(
        &self,
        f: impl for<'gc> Fn(&mut Exclusive<'gc>, GcAny<'gc>) + Send + Sync + 'static,
    ) {
        self.evictor.on_evict(f);
    }

    /// What is resident as of the last collection, and what was let go of so far.
    pub fn eviction_stats(&self) -> EvictionStats {
        self.evictor.eviction_stats()
    }

    /// Collects now, and lets go of at least `bytes` of the least recently touched evictable objects, if there are
    /// so many that nothing else holds; returns how many went.
    ///
    /// # Errors
    ///
    /// As [`Space::synchronous_gc`]. The next collection will, then.
    pub fn try_evict(&self, bytes: usize) -> Result<Evicted, CollectError> {
        self.evictor.try_evict(&self.space, bytes)
    }

    /// Has the next collection let go of at least `bytes` of evictable objects, and asks for one: for memory
    /// pressure, from any thread, inside of an access too.
    pub fn request_evict(&self, bytes: usize) {
        self.evictor.request_evict(&self.space, bytes);
    }

    /// The policy that chooses what to let go of, with all of its settings.
    pub fn evictor(&self) -> &Arc<Evictor> {
        &self.evictor
    }

    // ---- the collector

    /// Starts the collector's thread, or has the pool run the collections again (ceda's `StartGc`). Nothing
    /// happens if a thread does already. Spaces start theirs when they are built, unless they are told not to
    /// ([`Builder::gc`]).
    ///
    /// # Errors
    ///
    /// If the system gives no thread; the space stays usable. If this thread holds a space, runs a drop of a sweep,
    /// or runs a space's collections. If the space was built without a collector.
    pub fn start_gc(&self) -> Result<(), StartError> {
        match &self.control {
            Some(control) => control.start(&self.space),
            None => Err(StartError::NoCollector { space: self.name().to_string() }),
        }
    }

    /// Stops the collector's thread and waits until it has ended, with the cycle that it is in (ceda's `StopGc`).
    /// Nothing happens if none runs. Afterwards collections are explicit calls, and safepoints after a request.
    ///
    /// ```
    /// use cspace::CSpace;
    ///
    /// let space = CSpace::new();
    /// space.stop_gc()?;
    /// assert!(!space.is_gc_running());
    /// space.start_gc()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this thread holds a space, runs a drop of a sweep, or runs a space's collections: it might wait for itself.
    pub fn stop_gc(&self) -> Result<(), StopError> {
        self.control.as_ref().map_or(Ok(()), |control| control.stop(&self.space))
    }

    /// Whether a thread runs the collections: the space's own, a pool's, or the embedder's with a
    /// [`GcDriver`].
    pub fn is_gc_running(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.is_running())
    }

    /// How long after the end of a collection the next one is due; `None`: never for reasons of time.
    pub fn gc_period(&self) -> Option<Duration> {
        self.control.as_ref().and_then(|control| control.period())
    }

    /// Sets how long after the end of a collection the next one is due, effective at once: who sleeps for longer
    /// is woken.
    ///
    /// `None`: never for reasons of time. Zero: one after the other without a pause, whatever changes, to
    /// shake out races; slow. Else a collection comes when so long has gone by since the end of the last one and
    /// anything can have died since, or must give way: there was an exclusive access or a merge; a root, an owned
    /// value or another handle was dropped; bytes were charged or given back; a threshold, a limit or a size was
    /// set. Nothing need be allocated. Where nothing of that happens nobody collects, or wakes up.
    ///
    /// Beside a large heap collections by time take no more than a tenth of a core
    /// ([`set_gc_period_share`](CSpace::set_gc_period_share)); they are put off for that, by ten periods at most.
    /// Collections that come of allocation and leave what is old ([minor](Builder::minor_collections) ones) do not
    /// put it off. Nor does code of yours that runs on the driver, a cleaner that waits, say: after 10 ms of one piece of it a thread of
    /// the library's own collects in the driver's place, and leaves such code to the driver.
    ///
    /// ```
    /// use cspace::CSpace;
    /// use std::time::Duration;
    ///
    /// let space = CSpace::builder().gc_period(Duration::from_millis(1)).build()?;
    /// let root = space.exclusive(|cx| cx.root(cx.alloc("kept".to_string())));
    /// space.synchronous_gc()?;
    /// let n = space.total_num_completed_gcs();
    /// drop(root);
    /// space.wait_for_gc_after(n, Duration::from_secs(60))?;
    /// assert_eq!(space.num_objects(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_gc_period(&self, period: impl Into<Option<Duration>>) {
        if let Some(control) = &self.control {
            control.set_period(period.into());
        }
    }

    /// The part of a core that collections by time may take.
    pub fn gc_period_share(&self) -> Option<f64> {
        self.control.as_ref().map(|control| control.period_share())
    }

    /// Sets the part of a core that collections by time may take, from 0 to 1, effective at once; see
    /// [`Builder::gc_period_share`].
    pub fn set_gc_period_share(&self, share: f64) {
        if let Some(control) = &self.control {
            control.set_period_share(share);
        }
    }

    /// Sets the period in milliseconds (ceda's `SetMilliSecsPerGc`), effective at once; negative, or zero:
    /// collections one after the other without a pause. See [`set_gc_period`](CSpace::set_gc_period).
    pub fn set_milli_secs_per_gc(&self, millis: i32) {
        self.set_gc_period(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    }

    /// The period in milliseconds (ceda's `GetMilliSecsPerGc`): -1 if collections run one after the other,
    /// `i32::MAX` if there is no period or it is longer than that.
    pub fn milli_secs_per_gc(&self) -> i32 {
        match self.gc_period() {
            Some(Duration::ZERO) => -1,
            // Less than a millisecond is not no pause.
            Some(period) => i32::try_from(period.as_millis().max(1)).unwrap_or(i32::MAX),
            None => i32::MAX,
        }
    }

    /// The driver's seat of the space, for a thread of the embedder's own.
    ///
    /// ```
    /// use cspace::{CSpace, GcMode};
    /// use std::time::Duration;
    ///
    /// let space = CSpace::builder().gc(GcMode::Manual).gc_period(Duration::from_millis(1)).build()?;
    /// let mut driver = space.gc_driver()?;
    /// let thread = std::thread::spawn(move || {
    ///     while driver.wait_for_garbage_collect() {
    ///         driver.collect();
    ///     }
    /// });
    /// space.stop_gc()?;
    /// thread.join().unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a thread runs the collections already, or the space has no collector.
    pub fn gc_driver(&self) -> Result<GcDriver, StartError> {
        match &self.control {
            Some(control) => control.driver(&self.space),
            None => Err(StartError::NoCollector { space: self.name().to_string() }),
        }
    }
}

impl Default for CSpace {
    fn default() -> Self {
        CSpace::new()
    }
}

impl Deref for CSpace {
    type Target = Space;
    #[inline(always)]
    fn deref(&self) -> &Space {
        &self.space
    }
}

impl fmt::Debug for CSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.space.fmt(f)
    }
}

/// A handle of a space that does not keep it alive. From [`CSpace::downgrade`].
#[derive(Clone)]
pub struct WeakCSpace {
    space: WeakSpace,
    /// Weak as well, as all that is behind it is the space's.
    control: Option<Weak<GcControl>>,
    /// Weak as well: its callback may have this handle.
    evictor: Weak<Evictor>,
}

impl WeakCSpace {
    /// The space, unless it is gone.
    pub fn upgrade(&self) -> Option<CSpace> {
        // In this order: the space has its evictor.
        let (space, evictor) = (self.space.upgrade()?, self.evictor.upgrade()?);
        // The space has its collector too.
        let control = match &self.control {
            Some(control) => Some(control.upgrade()?),
            None => None,
        };
        Some(CSpace { space, control, evictor })
    }
}

impl fmt::Debug for WeakCSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakCSpace")
    }
}

/// Configures a [`CSpace`]. Every setting has a default.
///
/// ```
/// use cspace::CSpace;
/// use std::time::Duration;
///
/// let space = CSpace::builder()
///     .name("interpreter")
///     .max_heap_bytes(256 << 20)
///     .gc_period(Duration::from_millis(50))
///     .build()?;
/// assert_eq!(space.name(), "interpreter");
/// # Ok::<(), cspace::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    space: cspace_core::Builder,
    gc: GcSettings,
    evictor: Arc<Evictor>,
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => { $(
        $(#[$doc])*
        pub fn $name(mut self, $($argument: $type),*) -> Builder {
            self.space = self.space.$name($($argument),*);
            self
        }
    )* };
}

impl Builder {
    settings! {
        /// A name for messages and threads. Default: `space`.
        name(name: impl Into<String>);
        /// The most bytes that objects may take, those that are unreachable but not yet collected included.
        /// Allocations that would pass it fail. Collections begin when the room is nearly used up. Default: no limit.
        max_heap_bytes(bytes: usize);
        /// The most bytes that objects and what is charged to the [`Ledger`](crate::Ledger) may take together.
        /// Allocations and charges that would pass it fail. Default: no limit.
        /// [`Ledger::set_limit`](crate::Ledger::set_limit) changes it later.
        memory_limit(bytes: usize);
        /// With more bytes of objects and charges than these, collections are asked for that evict what is over.
        /// Default: no such limit. [`Ledger::set_soft_limit`](crate::Ledger::set_soft_limit) changes it later.
        memory_soft_limit(bytes: usize);
        /// The least number of bytes to allocate between two collections of a heap of some size. Larger: fewer
        /// collections, more memory. A heap with little alive is collected sooner, after 4 MiB and twice
        /// what is alive: that costs little and stays in the cache. Default: 32 MiB.
        gc_budget_floor(bytes: usize);
        /// How many bytes to allocate between two collections, as a multiple of those alive. Larger: fewer
        /// collections, more memory. Before a [minor](Builder::minor_collections) collection it is a quarter of that, but
        /// not less than the floor. Default: 1.0; 0.5 to 4 are sensible.
        gc_budget_factor(factor: f64);
        /// Whether collections that come of allocation may be *minor*: they take everything to be alive that the
        /// one before found alive, and mark what was allocated since. They are made where most objects are of
        /// types that do not change (no slot, no cell), of which none is looked at again. What dies old waits for
        /// the next full collection: that is every one that is asked for or due by time, the next one
        /// after an allocation was denied, and when
        /// what is alive seems to have grown by half. Default: on.
        minor_collections(on: bool);
        /// Whether the mark of a large heap is done in parts, between which writers go on, when a full collection
        /// comes of allocation: each keeps writers out for some milliseconds rather than the whole for as long as it
        /// takes. It is done so where most objects change through slots alone. What dies meanwhile may wait for the
        /// next full collection. Collections that are asked for, due by time, or
        /// follow an allocation that was denied mark at once. Default: on.
        incremental_marking(on: bool);
        /// Collect at every safepoint, and check the order in which spaces are locked: to find objects
        /// that nobody keeps alive. Slow; after some hundred collections, and in a large heap,
        /// safepoints are passed over in between, so that long programs end. Default: off.
        stress(on: bool);
        /// Overwrite reclaimed memory with the byte `0xDB`: to find uses of dead objects by unsafe code.
        /// Default: off.
        poison_freed(on: bool);
        /// What a panic in an exclusive access does. Default: [`PanicPolicy::Poison`].
        panic_policy(policy: PanicPolicy);
        /// How long a thread that waits for the lock leaves the holder undisturbed, before it wants it handed
        /// over at the next safepoint. Longer: interpreters that share a space switch less often. Shorter: a
        /// thread that wants in gets in sooner. The collector does not wait for this. Default: 1 ms.
        turn(duration: Duration);
        /// Calls `listener` for every [`Event`], on the thread where it happens, with no lock held. May be
        /// given several times.
        ///
        /// What happens while the thread that runs the collections is stuck in a cleaner, a drop or a listener waits until it is
        /// done. Of collections that leave nothing else to run 1,024 wait to be told of; what comes beyond that is dropped, and
        /// counted in [`GcStats::events_dropped`](crate::GcStats::events_dropped).
        on_event(listener: impl Fn(&Event) + Send + Sync + 'static);
    }

    /// Who runs the collections. Default: [`GcMode::Worker`].
    pub fn gc(mut self, mode: GcMode) -> Builder {
        self.gc.mode = mode;
        self
    }

    /// How long after the end of a collection the next one is due; see [`CSpace::set_gc_period`]. For collections
    /// that a thread runs. Default: none; enough must be allocated, or one be requested: what else dies, or is to
    /// be evicted, waits.
    pub fn gc_period(mut self, period: impl Into<Option<Duration>>) -> Builder {
        self.gc.period = period.into();
        self
    }

    /// The part of a core that collections by time may take, from 0 to 1: a collection that took so long is followed
    /// by a rest (with 0.1, nine times as long), but by no more than ten periods. Larger: what has died beside a
    /// large heap is found sooner. 1 puts nothing off. What is outside of that range counts as the nearer end of
    /// it. Default: 0.1.
    ///
    /// ```
    /// use cspace::CSpace;
    /// use std::time::Duration;
    ///
    /// let builder = CSpace::builder().gc_period(Duration::from_millis(20)).gc_period_share(0.25);
    /// assert_eq!(builder.build()?.gc_period_share(), Some(0.25));
    /// # Ok::<(), cspace::BuildError>(())
    /// ```
    pub fn gc_period_share(mut self, share: f64) -> Builder {
        self.gc.period_share = share;
        self
    }

    /// Has the collections run by a pool instead of a thread of the space's own. Implies [`GcMode::Worker`].
    pub fn gc_pool(mut self, pool: &GcPool) -> Builder {
        self.gc.pool = Some(pool.clone());
        self.gc.mode = GcMode::Worker;
        self
    }

    /// How collections wait for readers to leave. Default: [`Patience::default`].
    pub fn gc_patience(mut self, patience: Patience) -> Builder {
        self.gc.patience = patience;
        self
    }

    /// How many bytes of evictable objects may be resident; see [`CSpace::set_eviction_threshold`]. Default: all.
    pub fn eviction_threshold(self, bytes: impl Into<Option<usize>>) -> Builder {
        self.evictor.set_eviction_threshold(bytes.into());
        self
    }

    /// How many evictable objects may be resident, whatever their size. Default: any number.
    pub fn max_evictable_objects(self, count: impl Into<Option<usize>>) -> Builder {
        self.evictor.set_max_evictable_objects(count.into());
        self
    }

    /// Calls `f` with each evictable object that is let go of; see [`CSpace::on_evict`].
    pub fn on_evict(
        self,
        f: impl for<'gc> Fn(&mut Exclusive<'gc>, GcAny<'gc>) + Send + Sync + 'static,
    ) -> Builder {
        self.evictor.on_evict(f);
        self
    }

    /// Bytes of stack of the collector's thread, which runs the drops of dead objects. Default: 8 MiB, as for the threads
    /// of a pool. How deep values are does not matter where the space [knows their
    /// parts](cspace_core::IObject#how-deep-may-a-value-be); what is in a `Static` may need it.
    pub fn gc_stack_bytes(mut self, bytes: usize) -> Builder {
        self.gc.stack_bytes = Some(bytes);
        self
    }

    /// Builds the space, and starts its collector's thread.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense; the error says which. If the thread cannot be started; the error has the space,
    /// which is usable.
    pub fn build(self) -> Result<CSpace, BuildError> {
        let mode = self.gc.mode;
        if mode == GcMode::Off {
            let space = self.space.build()?;
            return Ok(CSpace { space, control: None, evictor: self.evictor });
        }
        let control = GcControl::new(self.gc);
        let space = self.space.collector(control.clone()).build()?;
        let started = if mode == GcMode::Worker { control.start_new(&space) } else { Ok(()) };
        let space = CSpace { space, control: Some(control), evictor: self.evictor };
        match started {
            Ok(()) => Ok(space),
            Err(source) => Err(BuildError::NotStarted { space, source }),
        }
    }
}
