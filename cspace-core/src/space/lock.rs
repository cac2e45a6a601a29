//! The lock of a space: its modes, how a thread comes to hold it, and how a hold ends.
//!
//! Nobody outside this file touches `parking_lot`'s raw lock, which has three modes. A [`Hold`] has one of more, which
//! also say what its end sees to:
//!
//! | mode | who holds | raw lock | before the release | after it |
//! | --- | --- | --- | --- | --- |
//! | [`Read`] | a shared access | shared | | what the thread deferred |
//! | [`Write`] | an exclusive access | exclusive | | what the thread deferred |
//! | [`Service`] | a merge, a delivery of victims | exclusive | `want` settled | what the thread deferred |
//! | [`Inspect`] | `verify` | exclusive | | |
//! | [`Mark`] | the collector, while it marks | upgradable | | |
//! | [`Finish`] | the collector, upgraded from `Mark` | exclusive | `want` settled | |
//! | [`Count`] | a count of objects | shared | | |
//!
//! What a thread deferred may be user code, and may wait for a claim. So a hold beside a claim leaves it alone:
//! whoever has the claim does it after that.
//!
//! All but `Count` are in the list of spaces that the thread holds ([`held`], HL1). A thread is entered before it waits
//! ([`Noted`]), to be refused what would wait for itself, and taken off before it releases; no user code runs in between.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{fence, AtomicBool, AtomicUsize, Ordering, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::lock_api::{
    RawRwLock as _, RawRwLockFair as _, RawRwLockTimed as _, RawRwLockUpgrade as _,
    RawRwLockUpgradeFair as _, RawRwLockUpgradeTimed as _,
};
use parking_lot::RawRwLock;

use super::{Space, SpaceInner};
use crate::batch::{self, Batch};
use crate::collector_handle::CollectorHandle;
use crate::error::LockError;
use crate::held::{self, NotNoted};

/// How long a thread waits for a lock before it looks whether the lock was leaked meanwhile. To look it leaves the
/// lock's queue, or loses the place before all readers that it had got when the collector left: so not as often
/// as marks end.
const LEAK_CHECK: Duration = Duration::from_secs(1);

/// How long a count of objects waits for a writer to leave. Who holds nothing as far as the list of held spaces says may
/// be waited for all the same: it may use another thread's shared access, or have locks of the user's.
const COUNT_PATIENCE: Duration = Duration::from_millis(100);

/// How long to wait for the lock of a space.
///
/// Every function that takes a lock has a form `try_…_within`, which waits as this says and returns an error if the lock
/// cannot be had. The others are short for these: `try_lock` waits like [`No`](Wait::No), `try_lock_for` like
/// [`For`](Wait::For), and `lock` like [`Forever`](Wait::Forever), but panics instead.
///
/// ```
/// use cspace_core::{LockError, Space, Wait};
/// use std::time::Duration;
///
/// fn length(space: &Space, wait: Wait) -> Result<usize, LockError> {
///     space.try_exclusive_within(wait, |cx| cx.alloc("some text".to_string()).len())
/// }
///
/// let space = Space::builder().build()?;
/// for wait in [Wait::No, Wait::For(Duration::from_millis(5)), Wait::Forever] {
///     assert_eq!(length(&space, wait)?, 9);
/// }
/// // No wait, however long, is for a lock that this thread has itself.
/// let refused = space.shared(|_| length(&space, Wait::Forever));
/// assert!(matches!(refused, Err(LockError::Reentry { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all: the lock is taken if it is free.
    No,
    /// For so long at most. A time beyond what the clock can say is none: it waits for ever.
    For(Duration),
    /// For as long as it takes. It ends without the lock only if nobody can release it any more.
    Forever,
}

/// The modes of the raw lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawMode {
    Shared,
    Exclusive,
    Upgradable,
}

/// The raw lock of a space, and what is known of those who have had it.
pub(crate) struct SpaceLock {
    raw: RawRwLock,
    /// Whether a panic left an exclusive access. Set by its thread, cleared by whoever looked at the objects.
    poisoned: AtomicBool,
    /// Locks that are held by threads that ended. Counted up by a thread at its end, and down by a destructor that
    /// releases after all.
    leaked_count: AtomicUsize,
}

impl SpaceLock {
    pub(crate) fn new() -> SpaceLock {
        SpaceLock {
            raw: RawRwLock::INIT,
            poisoned: AtomicBool::new(false),
            leaked_count: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    pub(crate) fn set_poisoned(&self, poisoned: bool) {
        self.poisoned.store(poisoned, Relaxed);
    }

    /// Whether a thread ended while it held the lock.
    pub(crate) fn is_leaked(&self) -> bool {
        self.leaked_count.load(Relaxed) > 0
    }

    /// A thread ends, or is past what it does at its end, and holds the lock.
    pub(crate) fn count_leaked(&self) {
        self.leaked_count.fetch_add(1, Relaxed);
    }

    /// A lock that was held at its thread's end is released after all, by a destructor.
    #[cold]
    fn count_found(&self) {
        self.leaked_count.fetch_sub(1, Relaxed);
    }

    #[inline(always)]
    fn try_take(&self, mode: RawMode) -> bool {
        match mode {
            RawMode::Shared => self.raw.try_lock_shared(),
            RawMode::Exclusive => self.raw.try_lock_exclusive(),
            RawMode::Upgradable => self.raw.try_lock_upgradable(),
        }
    }

    fn try_take_for(&self, mode: RawMode, patience: Duration) -> bool {
        match mode {
            RawMode::Shared => self.raw.try_lock_shared_for(patience),
            RawMode::Exclusive => self.raw.try_lock_exclusive_for(patience),
            RawMode::Upgradable => self.raw.try_lock_upgradable_for(patience),
        }
    }

    /// # Safety
    ///
    /// The caller has the lock in this mode, and has it no more afterwards.
    #[inline(always)]
    unsafe fn release(&self, mode: RawMode, is_fair: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            match (mode, is_fair) {
                (RawMode::Shared, false) => self.raw.unlock_shared(),
                (RawMode::Shared, true) => self.raw.unlock_shared_fair(),
                (RawMode::Exclusive, false) => self.raw.unlock_exclusive(),
                (RawMode::Exclusive, true) => self.raw.unlock_exclusive_fair(),
                (RawMode::Upgradable, _) => {
                    // ORDERING: parking_lot 0.12.5 releases the upgradable lock with a relaxed store when others
                    // wait; the fence orders this cycle's reads and writes before what the next holder does.
                    fence(Ordering::Release);
                    self.raw.unlock_upgradable_fair();
                }
            }
        }
    }

    /// Whether the readers went within `patience`.
    ///
    /// # Safety
    ///
    /// The caller has the lock in upgradable mode; if this is true, it has it exclusively afterwards.
    unsafe fn try_upgrade_for(&self, patience: Duration) -> bool {
        // SAFETY: the caller's promise.
        let is_upgraded = unsafe { self.raw.try_upgrade_for(patience) };
        if is_upgraded {
            // ORDERING: parking_lot 0.12.5 upgrades with a relaxed compare-and-swap; the fence orders what the
            // readers did, whose unlocking releases, before what this thread does.
            fence(Ordering::Acquire);
        }
        is_upgraded
    }
}

/// A mode in which a space is held, and what the end of a hold sees to.
pub(crate) trait Mode {
    const RAW: RawMode;
    /// The thread is in its list of spaces that it holds (HL1).
    const IS_LISTED: bool = true;
    /// `want` is lowered before the release, if there is no reason for it any more.
    const SETTLES: bool = false;
    /// Whoever waits gets the lock, also if nobody wants it by `want`.
    const IS_FAIR: bool = false;
    /// After the release the thread does what it left for when it holds nothing.
    const RUNS_DEFERRED: bool = false;
}

/// Of a shared access.
pub(crate) enum Read {}
impl Mode for Read {
    const RAW: RawMode = RawMode::Shared;
    const RUNS_DEFERRED: bool = true;
}

/// Of an exclusive access.
pub(crate) enum Write {}
impl Mode for Write {
    const RAW: RawMode = RawMode::Exclusive;
    const RUNS_DEFERRED: bool = true;
}

/// Of what the library does to a space exclusively. Its end is no safepoint: nobody collects because of it.
pub(crate) enum Service {}
impl Mode for Service {
    const RAW: RawMode = RawMode::Exclusive;
    const SETTLES: bool = true;
    const RUNS_DEFERRED: bool = true;
}

/// Of whoever looks at everything, beside a claim.
pub(crate) enum Inspect {}
impl Mode for Inspect {
    const RAW: RawMode = RawMode::Exclusive;
}

/// Of a collector that marks: readers go on, writers wait, the graph is frozen (Y2).
pub(crate) enum Mark {}
impl Mode for Mark {
    const RAW: RawMode = RawMode::Upgradable;
    const IS_FAIR: bool = true;
}

/// Of a collector in the finish.
pub(crate) enum Finish {}
impl Mode for Finish {
    const RAW: RawMode = RawMode::Exclusive;
    const SETTLES: bool = true;
    const IS_FAIR: bool = true;
}

/// Of a count of objects. Not in the list, as nothing of the user's runs meanwhile.
pub(crate) enum Count {}
impl Mode for Count {
    const RAW: RawMode = RawMode::Shared;
    const IS_LISTED: bool = false;
}

/// By what a [`Hold`] knows its space: a reference, or a handle that keeps it.
pub(crate) trait OfSpace {
    fn inner(&self) -> &SpaceInner;
}

impl OfSpace for &SpaceInner {
    #[inline(always)]
    fn inner(&self) -> &SpaceInner {
        self
    }
}

impl OfSpace for &Space {
    #[inline(always)]
    fn inner(&self) -> &SpaceInner {
        &self.inner
    }
}

impl OfSpace for CollectorHandle {
    fn inner(&self) -> &SpaceInner {
        let space: &Space = self;
        &space.inner
    }
}

/// The lock of a space, held in a mode by the thread that has this. Dropped, it is released as the mode says.
///
/// By a reference to the space, or by a collector's handle where it is kept beside a claim, which has one too.
#[must_use = "the lock is released when the hold is dropped"]
pub(crate) struct Hold<S: OfSpace, M: Mode> {
    space: S,
    mode: PhantomData<M>,
}

impl<S: OfSpace, M: Mode> Hold<S, M> {
    /// # Safety
    ///
    /// This thread has the lock in this mode, and nobody else is to release it. It is in the list of its spaces if the mode
    /// is listed.
    #[inline(always)]
    unsafe fn new(space: S) -> Hold<S, M> {
        Hold { space, mode: PhantomData }
    }

    /// The space, also when the hold has ended.
    #[inline(always)]
    pub(crate) fn space(&self) -> S
    where
        S: Copy,
    {
        self.space
    }

    /// Ends the hold, as its drop does, but always inline.
    #[inline(always)]
    pub(crate) fn end(self)
    where
        S: Copy,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: the hold ends here, and by a reference it has nothing to drop.
        unsafe { this.release() };
    }

    /// # Safety
    ///
    /// Once, at the end of the hold.
    #[inline(always)]
    unsafe fn release(&self) {
        let inner = self.space.inner();
        if M::SETTLES {
            inner.settle_want();
        }
        let is_bare = M::IS_LISTED && inner.leave_list();
        let is_fair = M::IS_FAIR || inner.want().is_raised();
        // SAFETY: this thread has had the lock in this mode since the hold was made, which is the only one, and ends.
        unsafe { inner.lock.release(M::RAW, is_fair) };
        if M::RUNS_DEFERRED && is_bare {
            batch::run_deferred();
        }
    }
}

impl<S: OfSpace, M: Mode> Drop for Hold<S, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the hold ends here.
        unsafe { self.release() };
    }
}

impl<'a> Hold<&'a Space, Write> {
    /// The lock if it is free, the space sound, and this thread holds nothing.
    #[inline(always)]
    pub(crate) fn acquire_fast(space: &'a Space) -> Option<Self> {
        let inner = &*space.inner;
        if !held::note_only(inner.id) {
            return None;
        }
        if !inner.lock.try_take(Write::RAW) {
            held::forget(inner.id);
            return None;
        }
        // SAFETY: the lock was just taken, and the thread is in the list.
        let hold = unsafe { Hold::new(space) };
        // With the lock held, under which cycles look (P23).
        inner.changes.note_and_wake();
        if inner.lock.is_poisoned() {
            hold.end();
            return None;
        }
        Some(hold)
    }
}

impl<S: OfSpace, M: Mode> Hold<S, M> {
    /// Takes the lock for an access, waiting as `wait` says.
    #[inline(always)]
    pub(crate) fn acquire(space: S, wait: Wait) -> Result<Self, LockError> {
        const { assert!(M::IS_LISTED, "who acquires is entered into the list") };
        space.inner().acquire(M::RAW, wait)?;
        // SAFETY: the lock was just taken, and the thread is in the list.
        Ok(unsafe { Hold::new(space) })
    }
}

impl<'a> Hold<&'a SpaceInner, Count> {
    /// The lock, if it can be had without waiting.
    pub(crate) fn try_count(space: &'a SpaceInner) -> Option<Self> {
        let is_taken = space.lock.try_take(Count::RAW);
        // SAFETY: the lock was just taken.
        is_taken.then(|| unsafe { Hold::new(space) })
    }

    /// The lock, for which it waits a while, unless that may be in vain.
    #[cold]
    pub(crate) fn wait_to_count(space: &'a SpaceInner) -> Option<Self> {
        if !Batch::can_reclaim() || space.is_leaked() {
            return None;
        }
        let turn = space.config.turn.min(COUNT_PATIENCE);
        let is_taken = space.lock.try_take_for(Count::RAW, turn) || {
            let _waiting = space.wait_for_lock();
            space.lock.try_take_for(Count::RAW, COUNT_PATIENCE - turn)
        };
        // SAFETY: the lock was just taken.
        is_taken.then(|| unsafe { Hold::new(space) })
    }
}

impl Hold<CollectorHandle, Mark> {
    /// Tries to get the readers out for at most `patience`; new ones wait meanwhile. If some stayed, it is the hold that it
    /// was.
    pub(crate) fn try_finish(
        self,
        patience: Duration,
    ) -> Result<Hold<CollectorHandle, Finish>, Self> {
        // SAFETY: the hold is the only one of this thread, in the mode that can be upgraded.
        if unsafe { !self.space.inner().lock.try_upgrade_for(patience) } {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is used no more, so the handle is moved; the lock is held exclusively from here on.
        Ok(unsafe { Hold::new(core::ptr::read(&raw const this.space)) })
    }
}

/// Takes the lock for a collector or for `verify`: in slices, whether the space is poisoned or not, and for the sake of
/// nobody's change. While this is there the thread counts among those that wait.
pub(crate) struct Attempts<'a> {
    space: &'a SpaceInner,
    waiting: Option<Waiting<'a>>,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(space: &'a SpaceInner) -> Attempts<'a> {
        Attempts { space, waiting: None }
    }

    /// Waits for `patience` at most; none if the lock was not to be had. Then the thread is in no list, and the caller may
    /// run user code before the next attempt (HL1).
    pub(crate) fn attempt<S: OfSpace, M: Mode>(
        &mut self,
        patience: Duration,
        handle: impl FnOnce() -> S,
    ) -> Result<Option<Hold<S, M>>, LockError> {
        const { assert!(M::IS_LISTED, "who is noted is in the list") };
        let noted = self.space.note(false)?;
        self.waiting.get_or_insert_with(|| self.space.wait_for_lock());
        if !self.space.lock.try_take_for(M::RAW, patience) {
            return Ok(None);
        }
        noted.confirm();
        // SAFETY: the lock was just taken, and the thread is in the list.
        Ok(Some(unsafe { Hold::new(handle()) }))
    }
}

impl SpaceInner {
    /// Whether a panic left an exclusive access.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.lock.is_poisoned()
    }

    /// Whether a thread ended while it held the lock.
    pub(crate) fn is_leaked(&self) -> bool {
        self.lock.is_leaked()
    }

    /// Notes that this thread is about to take the lock, unless that would wait for itself.
    #[inline]
    fn note(&self, blocking: bool) -> Result<Noted<'_>, LockError> {
        let ordered = blocking && (cfg!(debug_assertions) || self.is_stress());
        let is_watched = held::note(self.id, ordered).map_err(|not_noted| match not_noted {
            NotNoted::Reentry => LockError::Reentry { space: self.name() },
            NotNoted::TooMany => LockError::TooMany { max: held::HELD_MAX },
            NotNoted::Order => LockError::LockOrder { space: self.name() },
        })?;
        Ok(Noted { space: self, is_watched })
    }

    /// Takes this thread off its list, by which it holds the lock; whether it holds none now.
    #[inline(always)]
    fn leave_list(&self) -> bool {
        let forgotten = held::forget(self.id);
        if forgotten.was_leaked {
            self.lock.count_found();
        }
        forgotten.is_bare
    }

    /// Takes the lock for an access, waiting as `wait` says. The thread is in the list then, and the hold is to be made.
    fn acquire(&self, mode: RawMode, wait: Wait) -> Result<(), LockError> {
        let noted = self.note(wait != Wait::No)?;
        let at_once = self.lock.try_take(mode);
        if !at_once {
            self.acquire_slow(mode, wait)?;
        }
        noted.confirm();
        if mode == RawMode::Exclusive {
            if !at_once {
                self.settle_want();
            }
            self.changes.note_and_wake();
        }
        if self.lock.is_poisoned() {
            return Err(self.refuse_poisoned(mode));
        }
        Ok(())
    }

    /// Releases the lock, which this thread has.
    #[cold]
    fn refuse_poisoned(&self, mode: RawMode) -> LockError {
        // SAFETY: `acquire` has just taken it.
        unsafe {
            match mode {
                RawMode::Shared => drop(Hold::<_, Read>::new(self)),
                _ => drop(Hold::<_, Write>::new(self)),
            }
        }
        LockError::Poisoned { space: self.name() }
    }

    /// Nothing of the user's runs here: this thread is noted, and does not hold the space yet (HL1).
    #[cold]
    fn acquire_slow(&self, mode: RawMode, wait: Wait) -> Result<(), LockError> {
        let deadline = match wait {
            Wait::No => return Err(self.refused(LockError::WouldBlock { space: self.name() })),
            // A deadline beyond what the clock can say is none.
            Wait::For(timeout) => Instant::now().checked_add(timeout),
            Wait::Forever => None,
        };
        // The holder has its turn; then it should hand the lock over at its next safepoint.
        let mut turn = Some(match wait {
            Wait::For(timeout) => self.config.turn.min(timeout / 2),
            _ => self.config.turn,
        });
        let mut waiting = None;
        loop {
            let patience = deadline.map_or(LEAK_CHECK, |deadline| {
                deadline.saturating_duration_since(Instant::now()).min(LEAK_CHECK)
            });
            let patience = match turn.take() {
                Some(turn) if !turn.is_zero() => patience.min(turn),
                _ => {
                    waiting.get_or_insert_with(|| self.wait_for_lock());
                    patience
                }
            };
            if self.lock.try_take_for(mode, patience) {
                return Ok(());
            }
            if self.is_leaked() {
                return Err(LockError::LockLeaked { space: self.name() });
            }
            if let (Some(deadline), Wait::For(timeout)) = (deadline, wait) {
                if Instant::now() >= deadline {
                    return Err(LockError::Timeout { space: self.name(), timeout });
                }
            }
        }
    }

    /// Counts this thread among those that wait for the lock, and raises `want`.
    fn wait_for_lock(&self) -> Waiting<'_> {
        self.want().begin_wait();
        Waiting(self)
    }

    /// Whether the lock of this space, which this thread holds, may be released and taken again: not
    /// while it holds a younger one. Checked where the order of locks is.
    pub(crate) fn check_order(&self) -> Result<(), LockError> {
        let checked = cfg!(debug_assertions) || self.is_stress();
        if checked && held::holds_younger(self.id) {
            return Err(LockError::LockOrder { space: self.name() });
        }
        Ok(())
    }

    fn refused(&self, error: LockError) -> LockError {
        if self.is_leaked() {
            return LockError::LockLeaked { space: self.name() };
        }
        error
    }
}

/// A note that this thread is about to take the lock of a space; taken back if it is dropped. Until then nothing of the
/// user's may run (HL1).
#[must_use = "dropped, the note is taken back"]
struct Noted<'a> {
    space: &'a SpaceInner,
    /// Whether this thread's end is watched for.
    is_watched: bool,
}

impl Noted<'_> {
    /// The thread has the lock, and the end of its hold takes it off the list.
    fn confirm(self) {
        if !self.is_watched {
            held::leak(self.space.id);
        }
        core::mem::forget(self);
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        held::forget(self.space.id);
    }
}

/// A thread that waits for the lock.
struct Waiting<'a>(&'a SpaceInner);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.want().end_wait();
    }
}
