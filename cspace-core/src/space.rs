//! [`Space`]: objects, their lock, and what belongs to both.
//!
//! Fields of [`SpaceInner`] fall into three groups: the lock and flags that any thread may touch; the
//! heap, the root set and the values of slots, which belong to the holder of the exclusive lock (the first
//! two or to the collector, which holds it upgradable and then exclusively); and small tables behind
//! mutexes of their own.
//!
//! Lock order: the space's lock, the mutexes of `handles`, the pool's. No user code runs while one of the
//! mutexes is held.

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::access::{Exclusive, Shared};
use crate::amount::{self, sum};
use crate::batch::{self, Batch, Work};
use crate::changes::Changes;
use crate::claim::DEFERRED_CHECK;
use crate::collector::{clear_marks, Collector, FullCycle, LockWait, Runner, WeakCollectorHandle};
use crate::config::{Builder, Config, PanicPolicy};
use crate::error::{CollectError, LockError, WaitError};
use crate::event::{CollectReport, Event, GcStats, MemoryStats};
use crate::eviction::{Eviction, EvictionNotice, EvictionPolicy};
use crate::guard::{ExclusiveGuard, LockMode, ModeGuard, SharedGuard};
use crate::heap::{Counters, Heap};
use crate::held;
use crate::home::{self, Handles, Home};
use crate::incremental::{Incremental, INCREMENT_BYTES};
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::no_unwind::no_unwind;
use crate::pieces;
use crate::pool;
use crate::protocol::{CollectorHandles, CycleCount, Others, Want};
use crate::ptr_slot::PtrSlots;
use crate::requests::Requests;
use crate::root_set::RootSet;

pub(crate) mod lock;

pub use lock::Wait;
use lock::{Count, Hold, SpaceLock};

/// What may be allocated before a collection when nothing is alive, in bytes.
const BUDGET_MIN: usize = 4 << 20;
/// What more may be, for each byte alive, until the configured floor is reached.
const BUDGET_LIVE: usize = 2;
/// Before a minor cycle of a large heap a part of what would be allocated before a full one will do. Not less, as the
/// sweep goes by the size of the heap even so.
const BUDGET_MINOR: usize = 4;
/// Of the room that is left below the heap's limit, the part in which a collection is due already.
const RESERVE: usize = 16;
/// The least of it in bytes, unless there is not twice as much: memory is handed out by the block.
const RESERVE_MIN: usize = crate::chunk::BLOCK;
/// What may be allocated at least, as a part of what is alive, however little room there is.
const ROOM_LIVE: usize = 8;
/// After this many collections stress passes over one safepoint more between two of them.
const STRESS_CYCLES: usize = 256;
/// For this many bytes alive stress passes over one safepoint more between two collections.
const STRESS_BYTES: usize = 4096;
/// Under stress one in so many collections is not asked for.
const STRESS_IN_PART: u64 = 16;

/// A callback at the beginning or end of a transaction.
type TransactionCallback = Arc<dyn Fn(&mut Exclusive<'_>) + Send + Sync>;

#[derive(Default)]
pub(crate) struct TransactionCallbacks {
    pub(crate) begin: Vec<TransactionCallback>,
    pub(crate) end: Vec<TransactionCallback>,
}

pub(crate) struct SpaceInner {
    lock: SpaceLock,
    /// What the next cycle by time would find; the counters have it too.
    changes: Arc<Changes>,
    requests: Requests,
    stress: AtomicBool,
    /// Safepoints to pass until stress collects again. Of whoever is at one.
    stress_skip: AtomicUsize,
    id: u64,
    config: Config,
    /// The home record, replaced when the objects are merged into another space. Read by whoever holds the
    /// lock in some mode, or has the mutex beside it; written by who has both, the lock exclusively.
    home: UnsafeCell<Arc<Home>>,
    home_change: Mutex<()>,
    handles: Handles,
    memory: Arc<Memory>,
    /// Of the holder of the exclusive lock.
    root_set: UnsafeCell<RootSet>,
    /// Of the holders of the lock: written by the exclusive one, read by all.
    pub(crate) ptr_slots: PtrSlots,
    eviction: Eviction,
    incremental: Incremental,
    pub(crate) stats: Mutex<GcStats>,
    pub(crate) cycles: CycleCount,
    pub(crate) cycles_begun: AtomicU64,
    pub(crate) last_report: Mutex<Option<CollectReport>>,
    pub(crate) last_full_cycle: Mutex<Option<FullCycle>>,
    pub(crate) collector_handles: Arc<CollectorHandles>,
    pub(crate) transactions: Mutex<TransactionCallbacks>,
}

// SAFETY: the cells belong to the holder of the exclusive lock, which orders their uses (`ptr_slots`
// also to readers, who are kept off while it is written, X2; its values are `Send` and `Sync`);
// everything else is shared structures.
unsafe impl Send for SpaceInner {}
// SAFETY: as above.
unsafe impl Sync for SpaceInner {}

/// The next space's number. Numbers order spaces for `lock_multiple`.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl SpaceInner {
    #[inline(always)]
    pub(crate) fn heap(&self) -> *mut Heap {
        self.memory.heap()
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    #[inline(always)]
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.memory.counters
    }

    /// # Safety
    ///
    /// The caller holds the space exclusively, or is its collector, and makes no second reference.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn root_set(&self) -> &mut RootSet {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.root_set.get() }
    }

    /// The home record, for whoever holds the space.
    ///
    /// # Safety
    ///
    /// The lock is held, in whatever mode, for as long as the reference is used.
    #[inline(always)]
    pub(crate) unsafe fn home(&self) -> &Arc<Home> {
        // SAFETY: it is replaced with the lock held exclusively, which the caller's hold excludes.
        unsafe { &*self.home.get() }
    }

    /// The home record, for whoever does not hold the space: the next moment it may be another.
    pub(crate) fn current_home(&self) -> Arc<Home> {
        let _unchanged = self.home_change.lock();
        // SAFETY: it is replaced with the mutex held.
        Arc::clone(unsafe { &*self.home.get() })
    }

    /// Replaces the home record.
    ///
    /// # Safety
    ///
    /// The lock is held exclusively, and no reference from [`home`](SpaceInner::home) is in use.
    pub(crate) unsafe fn replace_home(&self, home: Arc<Home>) -> Arc<Home> {
        let _changing = self.home_change.lock();
        // SAFETY: the caller holds the lock, this function the mutex.
        core::mem::replace(unsafe { &mut *self.home.get() }, home)
    }

    #[inline(always)]
    pub(crate) fn handles(&self) -> &Handles {
        &self.handles
    }

    #[inline(always)]
    pub(crate) fn eviction(&self) -> &Eviction {
        &self.eviction
    }

    #[inline(always)]
    pub(crate) fn incremental(&self) -> &Incremental {
        &self.incremental
    }

    /// Something that choices of what to evict go by has changed.
    #[cold]
    pub(crate) fn note_eviction_change(&self) {
        self.eviction.note_change();
        // Whoever runs the collections may sleep until there is something to do.
        self.changes.note_and_wake();
    }

    pub(crate) fn eviction_policy(&self) -> Option<&Arc<dyn EvictionPolicy>> {
        self.config.eviction.as_ref()
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    #[inline(always)]
    pub(crate) fn want(&self) -> &Want {
        &self.requests.want
    }

    pub(crate) fn has_minor_cycles(&self) -> bool {
        self.config.minor_cycles
    }

    pub(crate) fn has_incremental_marks(&self) -> bool {
        self.config.incremental_marks
    }

    pub(crate) fn heap_bytes_max(&self) -> usize {
        self.config.heap_bytes_max
    }

    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn name(&self) -> String {
        self.config.name.clone()
    }

    pub(crate) fn lock(&self) -> &SpaceLock {
        &self.lock
    }

    pub(crate) fn is_stress(&self) -> bool {
        self.stress.load(Relaxed)
    }

    /// A panic is about to leave this thread's access, or to be caught in it, that left the objects whole. The excuse
    /// goes with the access: no other thread's has it, nor the next one of this thread. Raises `want`, so that the
    /// access ends at its next safepoint.
    pub(crate) fn note_harmless_panic(&self) {
        held::excuse(self.id);
        self.want().raise();
    }

    /// A panic was caught by this library, in an access that goes on.
    pub(crate) fn forget_harmless_panic(&self) {
        held::take_excuse(self.id);
    }

    /// A panic without an excuse leaves this thread's exclusive access.
    #[cold]
    pub(crate) fn panicked(&self) {
        match self.config.panic_policy {
            PanicPolicy::Poison => self.lock.set_poisoned(true),
            PanicPolicy::Abort => {
                eprintln!("space `{}`: a panic left an exclusive access; aborting, as its panic policy says", self.config.name);
                std::process::abort();
            }
        }
    }

    /// # Safety
    ///
    /// The caller holds the space in some mode.
    pub(crate) unsafe fn count_objects(&self) -> usize {
        // SAFETY: whoever would change the heap holds the lock exclusively: the caller, or nobody.
        let unused = unsafe { (*self.heap()).unused_cells() };
        self.counters().objects.load(Relaxed).saturating_sub(unused)
    }

    /// How many objects there are, without waiting: while somebody else has the lock exclusively, those that are about
    /// to be made are counted too.
    pub(crate) fn count_objects_now(&self) -> usize {
        if held::holds(self.id) {
            // SAFETY: this thread holds the space.
            return unsafe { self.count_objects() };
        }
        self.count_objects_with(Hold::try_count(self))
    }

    /// How many objects there are. Without a hold, those that are about to be made are counted too.
    fn count_objects_with(&self, hold: Option<Hold<&SpaceInner, Count>>) -> usize {
        let Some(_hold) = hold else { return self.counters().objects.load(Relaxed) };
        // SAFETY: this thread holds the space.
        unsafe { self.count_objects() }
    }

    pub(crate) fn emit(&self, event: &Event) {
        for listener in &self.config.listeners {
            // A listener's panic is not the collector's business; nor is its payload's drop.
            let told = || pieces::run(|| listener(event));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(told)) {
                drop(batch::panic_message(panic));
            }
        }
    }

    pub(crate) fn has_listeners(&self) -> bool {
        !self.config.listeners.is_empty()
    }

    /// What is alive is known anew: when to collect next, or to begin with the mark.
    pub(crate) fn plan(&self) {
        let whole = self.budget();
        self.incremental.set_whole_budget(whole);
        let ahead = self.increments_ahead().saturating_mul(INCREMENT_BYTES).min(whole / 2);
        self.counters().budget.store(whole - ahead, Relaxed);
        let live = self.counters().live_estimate.load(Relaxed);
        self.counters().room.store(room(self.heap_bytes_max(), live), Relaxed);
    }

    /// The bytes that may be handed out before the next collection.
    fn budget(&self) -> usize {
        let counters = self.counters();
        let live = counters.live_estimate.load(Relaxed);
        let external = counters.external.load(Relaxed);
        // What is pending may never come.
        let charged = counters.charged.load(Relaxed).saturating_sub(counters.pending.load(Relaxed));
        let scaled = amount::scaled(sum([live, external, charged]), self.config.budget_factor);
        // With little alive a cycle costs little, and memory that is used again soon stays in the cache.
        let small = sum([BUDGET_MIN, live.saturating_mul(BUDGET_LIVE)]);
        let floor = self.config.budget_floor.min(small);
        // The larger of the two; of a large heap somewhat more, as each cycle costs as much as is alive.
        let more = scaled.saturating_sub(floor).min(floor) / 2;
        let mut total = sum([scaled.max(floor), more]);
        if self.minor_cycle_pays() {
            // It does not mark what is old: the sooner memory is used again, the better.
            total = total.min(floor.max(total / BUDGET_MINOR));
        }
        // Objects that own much outside of the heap use the budget up sooner: as many bytes as their
        // share of the whole, but not so soon that next to nothing is collected each time.
        let share = if external == 0 { 1.0 } else { live as f64 / sum([live, external]) as f64 };
        amount::scaled(total, share).max(floor / 4)
    }

    /// The counts have changed: what may be handed out until the next collection does too. By the holder of
    /// the exclusive lock.
    pub(crate) fn adjust_budget(&self) {
        self.plan();
        self.tell_if_over_budget();
    }

    /// Asks for a collection if the budget is used up.
    pub(crate) fn tell_if_over_budget(&self) {
        let counters = self.counters();
        if counters.is_over_budget() {
            let first = !counters.over_budget.swap(true, Relaxed);
            self.requests.note_over_budget(first, counters.is_far_over_budget());
        }
    }

    // ---- safepoints

    /// What the holder of the exclusive lock does at a safepoint when `want` is up, having released
    /// the lock: lets others in, or collects.
    pub(crate) fn at_safepoint(self: &Arc<Self>) {
        if let Some(collector) = self.requests.collector() {
            self.collect_at_safepoint(collector);
        }
        // What a collector could not deliver, as it could not have the lock.
        if self.has_undriven_evicted() {
            Space { inner: Arc::clone(self) }.deliver_evicted(LockWait::NONE);
        }
    }

    /// Whether there are victims that whoever comes to a safepoint delivers. A driver tries again, and nobody else does:
    /// what is the user's runs on its thread.
    fn has_undriven_evicted(&self) -> bool {
        let is_driven = || matches!(self.requests.runner(), Runner::Driver | Runner::BusyDriver);
        self.eviction.has_evicted() && !is_driven()
    }

    /// Tells whoever delivers victims that it may be possible now.
    pub(crate) fn tell_of_evicted(&self) {
        if self.eviction.has_evicted() {
            self.want().raise();
            self.requests.wake();
        }
    }

    fn collect_at_safepoint(self: &Arc<Self>, collector: &Arc<dyn Collector>) {
        let stressed = self.is_stress() && self.is_stress_due();
        if stressed {
            // What is asked for is full and marks at once, and so finds what nobody keeps alive. Now and then one is
            // minor or goes by increments, and so finds what changed unseen.
            let in_part = self.cycles.get() % STRESS_IN_PART == STRESS_IN_PART - 1;
            if in_part || self.incremental.is_under_way() {
                self.requests.set_overdue();
            } else {
                self.want().request();
            }
        }
        let requested = self.want().is_requested();
        let mine = match self.requests.runner() {
            Runner::Safepoints => requested || self.is_over_budget(),
            Runner::Driver => self.counters().is_far_over_budget(),
            Runner::BusyDriver => requested || self.is_over_budget(),
            Runner::Nobody => requested,
        };
        if mine || stressed || self.requests.is_overdue() {
            collector.at_safepoint(&Space { inner: Arc::clone(self) });
        }
    }

    /// Whether stress collects at this safepoint: at every one to begin with, then ever more rarely, and
    /// the more rarely the larger the heap, so that long programs end.
    fn is_stress_due(&self) -> bool {
        let skip = self.stress_skip.load(Relaxed);
        if skip > 0 {
            self.stress_skip.store(skip - 1, Relaxed);
            return false;
        }
        let cycles = self.cycles.get() as usize / STRESS_CYCLES;
        let live = self.counters().live_estimate.load(Relaxed) / STRESS_BYTES;
        self.stress_skip.store(sum([cycles, live]), Relaxed);
        true
    }

    /// What the end of an exclusive access does when `want` is up.
    #[cold]
    pub(crate) fn after_access(self: &Arc<Self>) {
        if Batch::can_reclaim() && !std::thread::panicking() {
            self.at_safepoint();
        }
    }

    /// Lowers `want` if there is no reason for it any more. By the holder of the exclusive lock.
    pub(crate) fn settle_want(&self) {
        self.want().settle(|| {
            let over_budget = || match self.requests.runner() {
                Runner::Safepoints | Runner::BusyDriver => self.is_over_budget(),
                Runner::Driver => self.counters().is_far_over_budget(),
                Runner::Nobody => false,
            };
            self.is_stress()
                || self.requests.is_overdue()
                || self.has_undriven_evicted()
                || over_budget()
        });
    }

    /// Whether a collection is due: the budget is used up, or something was denied that may fit after one.
    fn is_over_budget(&self) -> bool {
        self.counters().over_budget.load(Relaxed) || self.requests.is_lacking()
    }

    /// Whether a collection is asked for, for reasons of budget or others. A guess without the lock.
    pub(crate) fn wants_collection(&self) -> bool {
        self.want().is_requested() || self.is_over_budget() || self.requests.is_overdue()
    }
}

impl Drop for SpaceInner {
    /// The last handle is gone: every object is dropped, here or, if this thread holds a space or runs
    /// a sweep, when it no longer does (B2).
    fn drop(&mut self) {
        held::delist(self.id);
        home::space_gone(self.home.get_mut().id());
        self.changes.end();
        // If this thread forgot a guard, it holds the space no more.
        held::forget(self.id);
        // No user code, and nothing that can fail: what is taken out here is in nobody's list until the batch has it.
        let batch = no_unwind("the end of a space", || {
            // SAFETY: nobody else has the space, and with its last claim the last batch is done.
            unsafe { clear_marks(self) };
            // SAFETY: nobody else has the space.
            let heap = unsafe { &mut *self.heap() };
            let home = Arc::clone(self.home.get_mut());
            let mut work = Box::<Work>::default();
            heap.take_returned();
            heap.detach(&mut work.spans, &mut work.waiting);
            debug_assert!(work.waiting.is_empty(), "what runs drops keeps the space (P9)");
            work.cleanups = self.memory.counters.cleanups.detach();
            work.dropped = self.handles.owned.get_mut().release_all();
            work.slot_values = self.ptr_slots.take_all();
            Batch {
                claim: None,
                work,
                home,
                live_estimate: 0,
                poison_freed: self.memory.poison_freed,
                last: Some(Arc::clone(&self.memory)),
                done: false,
            }
        });
        // What the callbacks captured is the user's, and this may be a thread that others need.
        let listeners = core::mem::take(&mut self.config.listeners);
        let callbacks = core::mem::take(self.transactions.get_mut());
        let evictions = (core::mem::take(&mut self.eviction), self.config.eviction.take());
        let drop_captured = move || {
            listeners.into_iter().for_each(drop_guarded);
            let callbacks = callbacks.begin.into_iter().chain(callbacks.end);
            callbacks.for_each(drop_guarded);
            drop_guarded(evictions.0);
            drop_guarded(evictions.1);
        };
        // Where no batch can be reclaimed, nothing of the user's runs: both are left for when it can, in this order.
        if Batch::can_reclaim() {
            let _ = batch.reclaim();
            batch::run_deferred();
            tell_collector(&self.requests);
            drop_captured();
        } else {
            drop(batch);
            batch::defer(None, Box::new(drop_captured));
            tell_collector(&self.requests);
        }
    }
}

/// Tells a collector that its space is gone.
fn tell_collector(requests: &Requests) {
    if let Some(collector) = requests.collector() {
        let told = catch_unwind(AssertUnwindSafe(|| collector.space_gone()));
        told.unwrap_or_else(|panic| drop(batch::panic_message(panic)));
    }
}

/// Drops something of the user's; a panic ends here.
pub(crate) fn drop_guarded<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        drop(batch::panic_message(panic));
    }
}

/// A space of objects behind one lock, with a collector (ceda's `CSpace`).
///
/// A `Space` is a handle: `Clone`, `Send`, `Sync`, and cheap to pass around; the objects live until the
/// last one is dropped. Interpreters use the facade's `CSpace`, which brings the collector.
///
/// Access is [`exclusive`](Space::exclusive) or [`shared`](Space::shared): a closure is called with a
/// token, and nothing that carries its brand can leave. Long-running programs hold a guard
/// ([`lock`](Space::lock)) and let the collector in at safepoints.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let root = space.exclusive(|cx| cx.root(cx.alloc("kept".to_string())));
/// let length = space.shared(|cx| root.get(cx).len());
/// assert_eq!(length, 4);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[derive(Clone)]
pub struct Space {
    pub(crate) inner: Arc<SpaceInner>,
}

/// The bytes that may be handed out before the next collection in a heap with a limit: it is collected in time
/// before it is full. But if it is nearly full of what is alive it is rather full than collected all the time.
fn room(heap_bytes_max: usize, live: usize) -> usize {
    let room = heap_bytes_max.saturating_sub(live);
    let reserve = (room / RESERVE).max(RESERVE_MIN).min(room / 2);
    (room - reserve).max(live / ROOM_LIVE)
}

impl Space {
    /// A builder with default settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_config(config: Config) -> Space {
        let id = NEXT_ID.fetch_add(1, Relaxed);
        let budget = config.budget_floor.min(BUDGET_MIN);
        let room = room(config.heap_bytes_max, 0).into();
        let changes = Arc::new(Changes::new(config.collector.as_ref().map(Arc::downgrade)));
        let counters = Counters {
            budget: budget.into(),
            room,
            changes: Arc::clone(&changes),
            ..Counters::default()
        };
        let counters = Arc::new(counters);
        let stress = config.stress;
        let (memory_limit, memory_soft_limit) = (config.memory_limit, config.memory_soft_limit);
        let (heap_bytes_max, poison_freed) = (config.heap_bytes_max, config.poison_freed);
        let handles = Arc::new(CollectorHandles::new());
        let inner = Arc::new_cyclic(|this: &Weak<SpaceInner>| {
            let for_ledger = WeakCollectorHandle::new(Weak::clone(this), &handles);
            let home = Home::new(&counters, Ledger::of_space(&counters, for_ledger));
            changes.set_home(home.id());
            let handles_of_objects = Handles::new(&changes);
            SpaceInner {
                lock: SpaceLock::new(),
                changes,
                requests: Requests::new(config.collector.clone(), stress),
                stress: AtomicBool::new(stress),
                stress_skip: AtomicUsize::new(0),
                id,
                memory: {
                    // SAFETY: only the field's address is taken; the allocation is there.
                    let requests = unsafe { &raw const (*this.as_ptr()).requests };
                    Memory::new(&home, counters, requests, heap_bytes_max, poison_freed)
                },
                home: UnsafeCell::new(home),
                home_change: Mutex::default(),
                handles: handles_of_objects,
                root_set: UnsafeCell::default(),
                ptr_slots: PtrSlots::default(),
                eviction: Eviction::default(),
                incremental: Incremental::default(),
                stats: Mutex::default(),
                cycles: CycleCount::new(),
                cycles_begun: AtomicU64::new(0),
                last_report: Mutex::default(),
                last_full_cycle: Mutex::default(),
                collector_handles: Arc::clone(&handles),
                transactions: Mutex::default(),
                config,
            }
        });
        let space = Space { inner };
        held::enlist(id, space.downgrade_to_collector());
        if let Some(policy) = space.inner.eviction_policy() {
            policy.attach(EvictionNotice::new(space.downgrade_to_collector()));
        }
        if memory_limit.is_some() || memory_soft_limit.is_some() {
            let ledger = space.ledger();
            ledger.set_limit(memory_limit);
            ledger.set_soft_limit(memory_soft_limit);
        }
        space
    }

    /// The name that messages give the space.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// Calls `f` with exclusive access: read, allocate, change.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`]. A panic of `f` poisons the space.
    #[inline]
    #[track_caller]
    pub fn exclusive<R>(&self, f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R) -> R {
        self.lock().scope(f)
    }

    /// Calls `f` with shared access: read, beside other readers.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`].
    #[inline]
    #[track_caller]
    pub fn shared<R>(&self, f: impl for<'gc> FnOnce(&Shared<'gc>) -> R) -> R {
        self.lock_shared().scope(f)
    }

    /// Calls `f` with exclusive access, between the callbacks for the beginning and the end of a
    /// transaction (ceda's `CSpaceTxn`). There is no rollback.
    ///
    /// # Panics
    ///
    /// As [`exclusive`](Space::exclusive).
    #[track_caller]
    pub fn transaction<R>(&self, f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R) -> R {
        self.lock_transaction().scope(f)
    }

    /// As [`exclusive`](Space::exclusive), without waiting.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had at once.
    pub fn try_exclusive<R>(
        &self,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
    ) -> Result<R, LockError> {
        self.try_exclusive_within(Wait::No, f)
    }

    /// As [`shared`](Space::shared), without waiting.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had at once.
    pub fn try_shared<R>(
        &self,
        f: impl for<'gc> FnOnce(&Shared<'gc>) -> R,
    ) -> Result<R, LockError> {
        self.try_shared_within(Wait::No, f)
    }

    /// As [`transaction`](Space::transaction), without waiting.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had at once.
    pub fn try_transaction<R>(
        &self,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
    ) -> Result<R, LockError> {
        self.try_transaction_within(Wait::No, f)
    }

    /// As [`exclusive`](Space::exclusive), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had in that time.
    pub fn exclusive_for<R>(
        &self,
        timeout: Duration,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
    ) -> Result<R, LockError> {
        self.try_exclusive_within(Wait::For(timeout), f)
    }

    /// As [`shared`](Space::shared), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had in that time.
    pub fn shared_for<R>(
        &self,
        timeout: Duration,
        f: impl for<'gc> FnOnce(&Shared<'gc>) -> R,
    ) -> Result<R, LockError> {
        self.try_shared_within(Wait::For(timeout), f)
    }

    /// As [`transaction`](Space::transaction), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had in that time.
    pub fn transaction_for<R>(
        &self,
        timeout: Duration,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
    ) -> Result<R, LockError> {
        self.try_transaction_within(Wait::For(timeout), f)
    }

    /// As [`exclusive`](Space::exclusive), waiting as `wait` says, for ever too.
    ///
    /// ```
    /// use cspace_core::{Space, Wait};
    ///
    /// let space = Space::builder().build()?;
    /// let value = space.try_exclusive_within(Wait::Forever, |cx| *cx.alloc(7u64))?;
    /// assert_eq!(value, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the lock cannot be had: see [`LockError`].
    ///
    /// # Panics
    ///
    /// If `f` does, which poisons the space.
    pub fn try_exclusive_within<R>(
        &self,
        wait: Wait,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
    ) -> Result<R, LockError> {
        Ok(self.try_lock_within(wait)?.scope(f))
    }

    /// As [`shared`](Space::shared), waiting as `wait` says.
    ///
    /// ```
    /// use cspace_core::{Space, Wait};
    ///
    /// let space = Space::builder().build()?;
    /// let root = space.exclusive(|cx| cx.root(cx.alloc(7u64)));
    /// assert_eq!(space.try_shared_within(Wait::Forever, |cx| *root.get(cx))?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the lock cannot be had: see [`LockError`].
    pub fn try_shared_within<R>(
        &self,
        wait: Wait,
        f: impl for<'gc> FnOnce(&Shared<'gc>) -> R,
    ) -> Result<R, LockError> {
        Ok(self.try_lock_shared_within(wait)?.scope(f))
    }

    /// As [`transaction`](Space::transaction), waiting as `wait` says.
    ///
    /// ```
    /// use cspace_core::{Space, Wait};
    ///
    /// let space = Space::builder().build()?;
    /// let value = space.try_transaction_within(Wait::Forever, |cx| *cx.alloc(7u64))?;
    /// assert_eq!(value, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the lock cannot be had: see [`LockError`]. No callback is called then.
    ///
    /// # Panics
    ///
    /// If `f` or a callback does, which poisons the space.
    pub fn try_transaction_within<R>(
        &self,
        wait: Wait,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R,
    ) -> Result<R, LockError> {
        Ok(ExclusiveGuard::acquire(self, LockMode::Transaction, wait)?.scope(f))
    }

    /// Takes the lock exclusively and holds it: for programs that run for long.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`].
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> ExclusiveGuard<'_> {
        match ExclusiveGuard::acquire_fast(self) {
            Some(guard) => guard,
            None => self.lock_slow(),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn lock_slow(&self) -> ExclusiveGuard<'_> {
        ExclusiveGuard::acquire(self, LockMode::Exclusive, Wait::Forever)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Takes the lock in shared mode and holds it.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`].
    #[inline]
    #[track_caller]
    pub fn lock_shared(&self) -> SharedGuard<'_> {
        SharedGuard::acquire(self, Wait::Forever).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Takes the lock exclusively, as a transaction.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`].
    #[track_caller]
    pub fn lock_transaction(&self) -> ExclusiveGuard<'_> {
        ExclusiveGuard::acquire(self, LockMode::Transaction, Wait::Forever)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Takes the lock in the mode given (ceda's `ECSpaceLockMode`).
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`].
    #[track_caller]
    pub fn lock_mode(&self, mode: LockMode) -> ModeGuard<'_> {
        ModeGuard::acquire(self, mode, Wait::Forever).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`lock`](Space::lock), without waiting.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had at once.
    pub fn try_lock(&self) -> Result<ExclusiveGuard<'_>, LockError> {
        self.try_lock_within(Wait::No)
    }

    /// As [`lock_shared`](Space::lock_shared), without waiting.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had at once.
    pub fn try_lock_shared(&self) -> Result<SharedGuard<'_>, LockError> {
        self.try_lock_shared_within(Wait::No)
    }

    /// As [`lock_mode`](Space::lock_mode), without waiting.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had at once.
    pub fn try_lock_mode(&self, mode: LockMode) -> Result<ModeGuard<'_>, LockError> {
        self.try_lock_mode_within(mode, Wait::No)
    }

    /// As [`lock`](Space::lock), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had in that time; at once if it would be taken [out of order](LockError::LockOrder), as by
    /// all forms that wait.
    pub fn try_lock_for(&self, timeout: Duration) -> Result<ExclusiveGuard<'_>, LockError> {
        self.try_lock_within(Wait::For(timeout))
    }

    /// As [`lock_shared`](Space::lock_shared), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had in that time.
    pub fn try_lock_shared_for(&self, timeout: Duration) -> Result<SharedGuard<'_>, LockError> {
        self.try_lock_shared_within(Wait::For(timeout))
    }

    /// As [`lock_mode`](Space::lock_mode), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had in that time.
    pub fn try_lock_mode_for(
        &self,
        mode: LockMode,
        timeout: Duration,
    ) -> Result<ModeGuard<'_>, LockError> {
        self.try_lock_mode_within(mode, Wait::For(timeout))
    }

    /// As [`lock`](Space::lock), waiting as `wait` says, for ever too.
    ///
    /// ```
    /// use cspace_core::{LockError, Space, Wait};
    ///
    /// let space = Space::builder().build()?;
    /// let mut lock = space.try_lock_within(Wait::Forever)?;
    /// lock.scope(|cx| cx.alloc(7u64).addr());
    /// // This thread has it already.
    /// assert!(matches!(space.try_lock_within(Wait::Forever), Err(LockError::Reentry { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the lock cannot be had: see [`LockError`]. Out of [order](LockError::LockOrder) it is refused at once, unless
    /// `wait` is [`No`](Wait::No).
    pub fn try_lock_within(&self, wait: Wait) -> Result<ExclusiveGuard<'_>, LockError> {
        ExclusiveGuard::acquire(self, LockMode::Exclusive, wait)
    }

    /// As [`lock_shared`](Space::lock_shared), waiting as `wait` says.
    ///
    /// ```
    /// use cspace_core::{Space, Wait};
    ///
    /// let space = Space::builder().build()?;
    /// let root = space.exclusive(|cx| cx.root(cx.alloc(7u64)));
    /// let mut lock = space.try_lock_shared_within(Wait::Forever)?;
    /// assert_eq!(lock.scope(|cx| *root.get(cx)), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`try_lock_within`](Space::try_lock_within).
    pub fn try_lock_shared_within(&self, wait: Wait) -> Result<SharedGuard<'_>, LockError> {
        SharedGuard::acquire(self, wait)
    }

    /// As [`lock_mode`](Space::lock_mode), waiting as `wait` says.
    ///
    /// ```
    /// use cspace_core::{LockMode, Space, Wait};
    ///
    /// let space = Space::builder().build()?;
    /// let lock = space.try_lock_mode_within(LockMode::Transaction, Wait::Forever)?;
    /// assert_eq!(lock.mode(), LockMode::Transaction);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`try_lock_within`](Space::try_lock_within).
    ///
    /// # Panics
    ///
    /// If a callback for the beginning of a transaction does.
    pub fn try_lock_mode_within(
        &self,
        mode: LockMode,
        wait: Wait,
    ) -> Result<ModeGuard<'_>, LockError> {
        ModeGuard::acquire(self, mode, wait)
    }

    /// Calls `f` at the beginning of every transaction from now on.
    pub fn on_transaction_begin(
        &self,
        f: impl for<'gc> Fn(&mut Exclusive<'gc>) + Send + Sync + 'static,
    ) {
        self.inner.transactions.lock().begin.push(Arc::new(f));
    }

    /// Calls `f` at the end of every transaction from now on, before the lock is released.
    pub fn on_transaction_end(
        &self,
        f: impl for<'gc> Fn(&mut Exclusive<'gc>) + Send + Sync + 'static,
    ) {
        self.inner.transactions.lock().end.push(Arc::new(f));
    }

    /// Whether a panic left an exclusive access.
    pub fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    /// Makes a poisoned space usable again: you have looked at its objects, or do not mind.
    pub fn clear_poison(&self) {
        self.inner.lock.set_poisoned(false);
        self.inner.tell_of_evicted();
    }

    /// Asks for a collection: by the collector's thread if there is one, else at the next safepoint of whoever
    /// holds the lock.
    pub fn request_gc(&self) {
        self.inner.requests.request();
    }

    /// Raises `should_yield` for whoever holds the lock: at its next safepoint it lets others in. For
    /// signal handlers and watchdogs; lock-free.
    pub fn request_yield(&self) {
        self.inner.want().raise();
    }

    /// Collects now, on this thread, and returns when everything unreachable is reclaimed (ceda's
    /// `SynchronousGc`). If evicted objects were told to a callback, another collection frees them before it returns; the
    /// report counts what went in both.
    ///
    /// # Errors
    ///
    /// If the space has no collector, if this thread is inside of the space, if a `visit_objects`
    /// panicked, or if the call came from a drop that a sweep runs.
    pub fn synchronous_gc(&self) -> Result<CollectReport, CollectError> {
        match self.inner.requests.collector() {
            Some(collector) => collector.collect(self),
            None => Err(CollectError::NoCollector { space: self.inner.name() }),
        }
    }

    /// As [`synchronous_gc`](Space::synchronous_gc), under the name that collectors have elsewhere.
    ///
    /// # Errors
    ///
    /// As [`synchronous_gc`](Space::synchronous_gc).
    pub fn collect(&self) -> Result<CollectReport, CollectError> {
        self.synchronous_gc()
    }

    /// Collect at every safepoint from now on, or no longer.
    pub fn set_stress(&self, on: bool) {
        self.inner.stress.store(on, Relaxed);
        self.inner.want().raise();
    }

    /// How many objects there are: those alive at the last collection, and those made since (ceda's
    /// `GetNumObjects`, which must not be called while its collector is enabled; this one may, at any
    /// time). Values of [`own_root`](crate::Alloc::own_root) are no objects of the heap and not in it.
    ///
    /// Exact for a thread that is inside of the space, and where there is no writer for a moment. For that moment it is
    /// waited, a tenth of a second at most, and not at all by a thread that holds another space or runs a drop of a
    /// sweep: two threads that count the objects of each other's spaces would wait for ever. If there is a writer all
    /// the time, objects that it is about to make are counted too: as many as fit into the memory that is set aside for
    /// them, 64 KiB for each type and size at most.
    pub fn num_objects(&self) -> usize {
        let inner = &*self.inner;
        if held::holds(inner.id) {
            // SAFETY: this thread holds the space (HL1).
            return unsafe { inner.count_objects() };
        }
        inner.count_objects_with(Hold::try_count(inner).or_else(|| Hold::wait_to_count(inner)))
    }

    /// Byte counts, at any time, without waiting. While a collection goes on no count is too low, not for a moment:
    /// objects that were found dead are in them until they are swept.
    pub fn memory(&self) -> MemoryStats {
        let counters = self.inner.counters();
        let allocated = counters.allocated();
        // It is read a moment later.
        let live = counters.bytes.live().min(allocated);
        MemoryStats {
            reserved: pool::mapped_bytes(),
            committed: counters.committed.load(Relaxed).max(allocated),
            allocated,
            live,
            external: counters.external.load(Relaxed),
            charged: counters.charged.load(Relaxed),
        }
    }

    /// The account of all memory of the space: its objects, and what is charged outside of the heap. Also where
    /// limits for both together are set.
    pub fn ledger(&self) -> Ledger {
        self.inner.current_home().ledger.clone()
    }

    /// How many roots are held by [`GcRoot`](crate::GcRoot) handles.
    pub fn num_roots(&self) -> usize {
        self.inner.handles.roots.lock().live_count()
    }

    /// Totals of the collections so far.
    pub fn stats(&self) -> GcStats {
        self.inner.stats.lock().clone()
    }

    /// How many collections were completed (ceda's `GetTotalNumCompletedGcs`).
    pub fn total_num_completed_gcs(&self) -> u64 {
        self.inner.cycles.get()
    }

    /// Waits until more than `n` collections were completed, at most `timeout`; returns how many were. With
    /// `n` from [`total_num_completed_gcs`](Space::total_num_completed_gcs), that is the next one. It is complete when the
    /// cleaners and drops that come of it have run; if the thread that is to run them is busy with others and has been for
    /// more than 10 ms, when memory is reclaimed.
    ///
    /// ```
    /// use cspace_core::Space;
    /// use std::time::Duration;
    ///
    /// let space = Space::builder().build()?;
    /// let n = space.total_num_completed_gcs();
    /// // Nobody collects this one.
    /// assert!(space.wait_for_gc_after(n, Duration::from_millis(1)).is_err());
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the time is over; at once if this thread holds a space or runs a drop of a sweep, as the collection may
    /// have to wait for that, or if it is a collector's, which a listener for one may be on: it may be the one that
    /// would run the collection.
    pub fn wait_for_gc_after(&self, n: u64, timeout: Duration) -> Result<u64, WaitError> {
        if held::is_sweeping() {
            return Err(WaitError::InSweep { space: self.inner.name() });
        }
        if held::count() > 0 {
            return Err(WaitError::HoldsSpace { space: self.inner.name() });
        }
        if held::is_driving() {
            return Err(WaitError::FromCollector { space: self.inner.name() });
        }
        let deadline = Instant::now().checked_add(timeout);
        self.inner.cycles.wait_beyond(n, deadline).ok_or_else(|| WaitError::Timeout {
            space: self.inner.name(),
            completed: self.inner.cycles.get(),
        })
    }

    /// A handle that does not keep the space alive, for objects of the space that need to find it.
    pub fn downgrade(&self) -> WeakSpace {
        WeakSpace(Arc::downgrade(&self.inner))
    }

    /// Destroys the space now, if this is its last handle (ceda's `Destroy`). Every object is dropped.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there are others. Those of the collector do not count: a collection that runs, or
    /// waits to be reclaimed, is waited for, with the drops and cleaners that it runs; so do not hold what these
    /// may want. But a thread that holds a space, runs a drop of a sweep, or runs collections (a listener called)
    /// waits for nothing, and gets the handle back then too.
    pub fn destroy(self) -> Result<(), Space> {
        let Space { mut inner } = self;
        let handles = Arc::clone(&inner.collector_handles);
        let closing = handles.close();
        loop {
            match closing.look(|| Arc::strong_count(&inner)) {
                Others::Somebody => return Err(Space { inner }),
                Others::Collectors if !Batch::can_reclaim() || held::is_driving() => {
                    return Err(Space { inner });
                }
                Others::Collectors => {
                    // It may be a batch that was left for another thread, which may be waiting for this one.
                    batch::run_deferred_of_space(inner.id);
                    closing.wait(DEFERRED_CHECK);
                }
                Others::None => match Arc::try_unwrap(inner) {
                    Ok(last) => {
                        drop(closing);
                        drop(last);
                        return Ok(());
                    }
                    // Somebody made one meanwhile.
                    Err(shared) => inner = shared,
                },
            }
        }
    }

    /// Whether two handles are of one space.
    pub fn ptr_eq(a: &Space, b: &Space) -> bool {
        Arc::ptr_eq(&a.inner, &b.inner)
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("name", &self.name())
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

/// A handle of a space that does not keep it alive. From [`Space::downgrade`].
#[derive(Clone)]
pub struct WeakSpace(Weak<SpaceInner>);

impl WeakSpace {
    /// The space, unless it is gone.
    pub fn upgrade(&self) -> Option<Space> {
        self.0.upgrade().map(|inner| Space { inner })
    }
}

impl fmt::Debug for WeakSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakSpace")
    }
}
