//! Guards: the lock, held for longer than one closure.
//!
//! - **G1 (knows).** A guard knows whether it holds the lock. When taking it again fails, the guard
//!   does not hold it: its drop does not release, and every use is a panic that says so.
//! - **G2 (brand).** A token's brand is fresh, and nothing that carries it is alive across a use of the
//!   guard: `scope` and `enter` borrow the guard mutably for as long as the brand lives.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use crate::access::{Exclusive, Shared};
use crate::batch;
use crate::error::{CollectError, LockError};
use crate::event::CollectReport;
use crate::held;
use crate::object::Rootable;
use crate::owned_root::OwnedRoot;
use crate::space::lock::{Hold, Mode, Read, Write};
use crate::space::{Space, SpaceInner, Wait};

/// The modes of a space's lock (ceda's `ECSpaceLockMode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// Read, beside other readers.
    Shared,
    /// Read, allocate, change; alone.
    Exclusive,
    /// As exclusive, between the callbacks for begin and end.
    Transaction,
}

/// What guards have in common: a hold of a space's lock, or none, if that was lost (G1). The guard's drop ends it.
struct Kept<'s, M: Mode> {
    /// None if the guard holds nothing; it knows its space even so.
    hold: ManuallyDrop<Hold<&'s Space, M>>,
    is_held: bool,
    mode: LockMode,
}

impl<'s, M: Mode> Kept<'s, M> {
    #[inline(always)]
    fn new(hold: Hold<&'s Space, M>, mode: LockMode) -> Kept<'s, M> {
        Kept { hold: ManuallyDrop::new(hold), is_held: true, mode }
    }

    #[inline(always)]
    fn acquire(space: &'s Space, mode: LockMode, wait: Wait) -> Result<Kept<'s, M>, LockError> {
        Ok(Kept::new(Hold::acquire(space, wait)?, mode))
    }

    #[inline(always)]
    fn space(&self) -> &'s Space {
        self.hold.space()
    }

    #[inline(always)]
    #[track_caller]
    fn assert_held(&self) {
        if !self.is_held {
            not_held(self.space().name());
        }
    }

    /// Releases the lock, if it is held.
    fn release(&mut self) {
        if core::mem::replace(&mut self.is_held, false) {
            // SAFETY: there is a hold, and none from here on.
            unsafe { ManuallyDrop::take(&mut self.hold) }.end();
        }
    }

    /// As [`release`](Kept::release), at the end of a guard.
    ///
    /// # Safety
    ///
    /// Nobody looks at this afterwards.
    #[inline(always)]
    unsafe fn end(&mut self) {
        if self.is_held {
            // SAFETY: there is a hold, and nobody takes it again: the caller's promise.
            unsafe { ManuallyDrop::take(&mut self.hold) }.end();
        }
    }

    /// Releases the lock while `f` runs, and takes it again however `f` ends.
    #[track_caller]
    fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        struct Retake<'a, 's, M: Mode>(&'a mut Kept<'s, M>);
        impl<M: Mode> Drop for Retake<'_, '_, M> {
            fn drop(&mut self) {
                match Kept::acquire(self.0.space(), self.0.mode, Wait::Forever) {
                    Ok(kept) => *self.0 = kept,
                    // `f` panicked: its panic goes on, with a guard that knows that it holds nothing.
                    Err(_) if std::thread::panicking() => {}
                    Err(error) => {
                        panic!("the lock given up for `unlocked` cannot be taken again: {error}")
                    }
                }
            }
        }
        self.assert_held();
        if let Err(error) = self.space().inner.check_order() {
            panic!("{error}");
        }
        self.release();
        let _retake = Retake(self);
        f()
    }

    /// Releases the lock, to be taken again in its mode.
    #[track_caller]
    fn begin_unlock<G>(&mut self) -> LockInfo<'s, G> {
        self.assert_held();
        self.release();
        LockInfo { space: self.space(), mode: self.mode, guard: PhantomData, local: PhantomData }
    }
}

/// The exclusive lock of a space, held until dropped.
///
/// It carries no brand: [`scope`](ExclusiveGuard::scope) makes a fresh one at almost no cost, so a
/// program that runs for hours holds one guard, works in short scopes, and lets the collector and
/// other threads in between ([`safepoint`](ExclusiveGuard::safepoint)). The guard stays on its thread.
///
/// ```
/// use cspace_core::Space;
///
/// let space = Space::builder().build()?;
/// let mut lock = space.lock();
/// let root = lock.scope(|cx| cx.root(cx.alloc(1u64)));
/// lock.safepoint();
/// let value = lock.scope(|cx| *root.get(cx));
/// assert_eq!(value, 1);
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// A guard that is forgotten (`mem::forget`) leaks the lock: its thread gets errors when it locks the
/// space again, others wait, and get errors once the thread has ended.
#[must_use = "the lock is released when the guard is dropped"]
pub struct ExclusiveGuard<'s> {
    kept: Kept<'s, Write>,
    /// Whether the thread was panicking when it took the lock: such a panic poisons nothing.
    panicking: bool,
    local: PhantomData<*mut ()>,
}

impl<'s> ExclusiveGuard<'s> {
    /// The exclusive lock if it can be had without waiting and without any of the rarer cases.
    #[inline(always)]
    pub(crate) fn acquire_fast(space: &'s Space) -> Option<Self> {
        let hold = Hold::acquire_fast(space)?;
        Some(ExclusiveGuard {
            kept: Kept::new(hold, LockMode::Exclusive),
            panicking: std::thread::panicking(),
            local: PhantomData,
        })
    }

    #[cold]
    pub(crate) fn acquire(space: &'s Space, mode: LockMode, wait: Wait) -> Result<Self, LockError> {
        debug_assert!(mode != LockMode::Shared);
        let kept = Kept::acquire(space, mode, wait)?;
        let mut guard =
            ExclusiveGuard { kept, panicking: std::thread::panicking(), local: PhantomData };
        if mode == LockMode::Transaction {
            guard.run_callbacks(|callbacks| callbacks.begin.clone());
        }
        Ok(guard)
    }

    #[cold]
    fn run_callbacks(
        &mut self,
        choose: impl FnOnce(
            &crate::space::TransactionCallbacks,
        ) -> Vec<std::sync::Arc<dyn Fn(&mut Exclusive<'_>) + Send + Sync>>,
    ) {
        let callbacks = choose(&self.kept.space().inner.transactions.lock());
        for callback in callbacks {
            self.scope(|cx| callback(cx));
        }
    }

    /// Calls `f` with a token of a fresh brand. No lock operation: about a nanosecond.
    ///
    /// # Panics
    ///
    /// If the guard lost the lock (see [`unlocked`](ExclusiveGuard::unlocked)).
    #[inline(always)]
    #[track_caller]
    pub fn scope<R>(&mut self, f: impl for<'gc> FnOnce(&mut Exclusive<'gc>) -> R) -> R {
        self.kept.assert_held();
        // SAFETY: the guard holds the lock (G1) and is borrowed mutably while the token exists, so
        // there is no second one (G2); the brand is the closure's own.
        let mut token = unsafe { Exclusive::new(&self.kept.space().inner) };
        let scope = Scope(&self.kept.space().inner);
        let result = f(&mut token);
        core::mem::forget(scope);
        result
    }

    /// Calls `f` with a token of a fresh brand and the value of an owned root, for an interpreter's
    /// loop.
    ///
    /// # Panics
    ///
    /// If the owned root belongs to another space, or the guard lost the lock.
    #[inline(always)]
    #[track_caller]
    pub fn scope_mut<R: Rootable, X>(
        &mut self,
        owned: &mut OwnedRoot<R>,
        f: impl for<'gc> FnOnce(&mut Exclusive<'gc>, &mut R::At<'gc>) -> X,
    ) -> X {
        self.scope(|cx| {
            let value = owned.get_mut(cx);
            f(cx, value)
        })
    }

    /// Makes a token without a closure, so that `?`, `break` and `return` work as usual. The brand comes
    /// from [`make_guard!`](crate::make_guard).
    ///
    /// ```
    /// use cspace_core::{make_guard, Space};
    ///
    /// let space = Space::builder().build()?;
    /// let mut lock = space.lock();
    /// for i in 0..3u64 {
    ///     make_guard!(brand);
    ///     let cx = lock.enter(brand);
    ///     assert_eq!(*cx.alloc(i), i);
    /// }
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the guard lost the lock.
    #[inline(always)]
    #[track_caller]
    pub fn enter<'gc>(&'gc mut self, brand: generativity::Guard<'gc>) -> Entered<'gc> {
        let _ = brand;
        self.kept.assert_held();
        // SAFETY: as in `scope`; `make_guard!` gives each brand once, and the guard is borrowed for it.
        Entered { token: unsafe { Exclusive::new(&self.kept.space().inner) } }
    }

    /// Lets the collector and other threads in if they want to. One load if they do not.
    ///
    /// This is where collections happen: when the budget is used up or one was requested, this thread
    /// runs it here.
    ///
    /// While this thread holds a younger space nothing happens: to wait for this one again would turn the
    /// order of locks around. [`MultiGuard::safepoint`] gives all up together.
    ///
    /// # Panics
    ///
    /// If the guard lost the lock, or the lock cannot be had again.
    #[inline(always)]
    #[track_caller]
    pub fn safepoint(&mut self) {
        if self.kept.space().inner.want().is_raised() {
            self.safepoint_slow();
        }
    }

    #[cold]
    #[track_caller]
    fn safepoint_slow(&mut self) {
        let space = self.kept.space();
        self.kept.assert_held();
        if !held::holds_younger(space.inner.id()) {
            self.unlocked(|| space.inner.at_safepoint());
            space.inner.settle_want();
        }
    }

    /// Whether somebody wants this thread to come to a safepoint. One load.
    #[inline(always)]
    pub fn should_yield(&self) -> bool {
        self.kept.space().inner.want().is_raised()
    }

    /// Collects now: releases the lock, collects, and takes it again.
    ///
    /// # Errors
    ///
    /// As [`Space::synchronous_gc`].
    ///
    /// # Panics
    ///
    /// If the guard lost the lock, or the lock cannot be had again.
    #[track_caller]
    pub fn collect(&mut self) -> Result<CollectReport, CollectError> {
        let space = self.kept.space();
        let result = self.unlocked(|| space.synchronous_gc());
        space.inner.settle_want();
        result
    }

    /// Releases the lock while `f` runs, and takes it again (ceda's `BeginUnlock` and `EndUnlock` in one).
    /// A transaction stays one transaction.
    ///
    /// # Panics
    ///
    /// If the lock cannot be had again: `f` leaked another guard of the space, or the space was poisoned
    /// meanwhile. The guard has lost the lock then: its drop releases nothing, and using it panics.
    ///
    /// In debug builds and under stress, before anything is released, if this thread holds a younger
    /// space: use [`MultiGuard::unlocked`].
    #[track_caller]
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.kept.unlocked(f)
    }

    /// Releases the lock until [`LockInfo::end_unlock`] (ceda's `BeginUnlock`).
    ///
    /// # Panics
    ///
    /// If the guard lost the lock.
    #[track_caller]
    pub fn begin_unlock(mut self) -> LockInfo<'s> {
        self.kept.begin_unlock()
    }

    /// Takes a lock again that was given up: of a transaction it is the same one, no callbacks for the beginning.
    fn retake(
        space: &'s Space,
        mode: LockMode,
        panicking: bool,
    ) -> Result<ExclusiveGuard<'s>, LockError> {
        let kept = Kept::acquire(space, mode, Wait::Forever)?;
        Ok(ExclusiveGuard { kept, panicking, local: PhantomData })
    }

    /// The mode in which the lock is held.
    pub fn mode(&self) -> LockMode {
        self.kept.mode
    }

    /// The space.
    pub fn space(&self) -> &'s Space {
        self.kept.space()
    }
}

/// A scope that is under way. Dropped by a panic only.
struct Scope<'a>(&'a SpaceInner);

impl Drop for Scope<'_> {
    #[cold]
    fn drop(&mut self) {
        held::panic_leaves_scope(self.0.id());
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn not_held(space: &str) -> ! {
    panic!("this guard lost the lock of space `{space}`: taking it again after `unlocked` failed; make a new guard")
}

impl Drop for ExclusiveGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.kept.is_held {
            let plain = self.kept.mode == LockMode::Exclusive && !self.should_yield();
            if plain && !std::thread::panicking() {
                // SAFETY: the guard ends here.
                unsafe { self.kept.end() };
            } else {
                self.drop_slow();
            }
        }
    }
}

impl ExclusiveGuard<'_> {
    #[cold]
    #[inline(never)]
    fn drop_slow(&mut self) {
        /// Releases the lock even if a callback panics. With whether the panic that is under way has an excuse, if
        /// there is one: what callbacks do is none.
        struct Release<'a, 's>(&'a mut ExclusiveGuard<'s>, Option<bool>);
        impl Drop for Release<'_, '_> {
            fn drop(&mut self) {
                let inner = &self.0.kept.space().inner;
                if std::thread::panicking() && !self.0.panicking {
                    let is_excused = self.1.unwrap_or_else(|| held::take_excuse(inner.id()));
                    if !is_excused {
                        inner.panicked();
                    }
                }
                self.0.kept.release();
            }
        }
        let (space, panicking) = (self.kept.space(), self.panicking);
        let is_excused = std::thread::panicking().then(|| held::take_excuse(space.inner.id()));
        let release = Release(self, is_excused);
        if release.0.kept.mode == LockMode::Transaction {
            let guard = &mut *release.0;
            let ended = catch_unwind(AssertUnwindSafe(|| {
                guard.run_callbacks(|callbacks| callbacks.end.clone());
            }));
            if let Err(panic) = ended {
                // Beside the panic that is under way, a second one would abort.
                if std::thread::panicking() {
                    drop(batch::panic_message(panic));
                } else {
                    resume_unwind(panic);
                }
            }
        }
        drop(release);
        // The end of an access is a safepoint too, else a program of many short ones never collects.
        if space.inner.want().is_raised() && !panicking {
            space.inner.after_access();
        }
    }
}

mod sealed {
    use super::{LockError, LockMode, Space};

    /// A guard whose lock can be given up with `begin_unlock`.
    pub trait Relinquished<'s>: Sized {
        /// Takes the lock again.
        fn retake(space: &'s Space, mode: LockMode) -> Result<Self, LockError>;
    }
}

impl<'s> sealed::Relinquished<'s> for ExclusiveGuard<'s> {
    fn retake(space: &'s Space, mode: LockMode) -> Result<Self, LockError> {
        ExclusiveGuard::retake(space, mode, std::thread::panicking())
    }
}

impl<'s> sealed::Relinquished<'s> for SharedGuard<'s> {
    fn retake(space: &'s Space, _: LockMode) -> Result<Self, LockError> {
        SharedGuard::acquire(space, Wait::Forever)
    }
}

/// A lock that was given up with `begin_unlock`, and what it takes to take it again: as an [`ExclusiveGuard`], or as
/// the [`SharedGuard`] that it was.
///
/// Dropped without [`end_unlock`](LockInfo::end_unlock), it leaves the lock released; of a transaction
/// the callbacks for the end are not called then.
#[must_use = "call `end_unlock` to take the lock again"]
pub struct LockInfo<'s, G = ExclusiveGuard<'s>> {
    space: &'s Space,
    mode: LockMode,
    guard: PhantomData<fn() -> G>,
    local: PhantomData<*mut ()>,
}

impl<'s, G: sealed::Relinquished<'s>> LockInfo<'s, G> {
    /// Takes the lock again, in the same mode (ceda's `EndUnlock`).
    ///
    /// # Panics
    ///
    /// If the lock cannot be had: see [`LockError`].
    #[track_caller]
    pub fn end_unlock(self) -> G {
        self.try_end_unlock().unwrap_or_else(|(_, error)| panic!("{error}"))
    }

    /// As [`end_unlock`](LockInfo::end_unlock), or gives the information back.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had.
    pub fn try_end_unlock(self) -> Result<G, (Self, LockError)> {
        G::retake(self.space, self.mode).map_err(|error| (self, error))
    }
}

/// Exclusive access without a closure. From [`ExclusiveGuard::enter`]; dereferences to [`Exclusive`].
pub struct Entered<'gc> {
    token: Exclusive<'gc>,
}

impl<'gc> core::ops::Deref for Entered<'gc> {
    type Target = Exclusive<'gc>;
    #[inline(always)]
    fn deref(&self) -> &Exclusive<'gc> {
        &self.token
    }
}

impl core::ops::DerefMut for Entered<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.token
    }
}

/// The shared lock of a space, held until dropped. Stays on its thread.
#[must_use = "the lock is released when the guard is dropped"]
pub struct SharedGuard<'s> {
    kept: Kept<'s, Read>,
    local: PhantomData<*mut ()>,
}

impl<'s> SharedGuard<'s> {
    #[inline(always)]
    pub(crate) fn acquire(space: &'s Space, wait: Wait) -> Result<Self, LockError> {
        let kept = Kept::acquire(space, LockMode::Shared, wait)?;
        Ok(SharedGuard { kept, local: PhantomData })
    }

    /// Calls `f` with a token of a fresh brand.
    ///
    /// # Panics
    ///
    /// If the guard lost the lock (see [`unlocked`](SharedGuard::unlocked)).
    #[inline(always)]
    #[track_caller]
    pub fn scope<R>(&mut self, f: impl for<'gc> FnOnce(&Shared<'gc>) -> R) -> R {
        self.kept.assert_held();
        // SAFETY: the guard holds the lock (G1), mutably borrowed while the token exists (G2).
        let token = unsafe { Shared::new(&self.kept.space().inner) };
        f(&token)
    }

    /// Makes a token without a closure; see [`ExclusiveGuard::enter`].
    ///
    /// # Panics
    ///
    /// If the guard lost the lock.
    #[inline(always)]
    #[track_caller]
    pub fn enter<'gc>(&'gc mut self, brand: generativity::Guard<'gc>) -> Shared<'gc> {
        let _ = brand;
        self.kept.assert_held();
        // SAFETY: as in `scope`; the guard is borrowed for the brand.
        unsafe { Shared::new(&self.kept.space().inner) }
    }

    /// Releases the lock while `f` runs, and takes it again.
    ///
    /// # Panics
    ///
    /// As [`ExclusiveGuard::unlocked`].
    #[track_caller]
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.kept.unlocked(f)
    }

    /// Releases the lock until [`LockInfo::end_unlock`], as [`ExclusiveGuard::begin_unlock`] does.
    ///
    /// ```
    /// use cspace_core::Space;
    ///
    /// let space = Space::builder().build()?;
    /// let lock = space.lock_shared();
    /// let info = lock.begin_unlock();
    /// let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
    /// let mut lock = info.end_unlock();
    /// assert_eq!(lock.scope(|cx| *root.get(cx)), 1);
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the guard lost the lock.
    #[track_caller]
    pub fn begin_unlock(mut self) -> LockInfo<'s, SharedGuard<'s>> {
        self.kept.begin_unlock()
    }

    /// Lets others in if they want to: a writer, or the collector.
    ///
    /// # Panics
    ///
    /// If the guard lost the lock, or the lock cannot be had again.
    #[inline]
    #[track_caller]
    pub fn safepoint(&mut self) {
        let inner = &self.kept.space().inner;
        if inner.want().is_raised() && !held::holds_younger(inner.id()) {
            self.unlocked(|| ());
        }
    }

    /// The space.
    pub fn space(&self) -> &'s Space {
        self.kept.space()
    }
}

impl Drop for SharedGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard ends here.
        unsafe { self.kept.end() };
    }
}

/// The lock of a space in a mode chosen at run time.
#[must_use = "the lock is released when the guard is dropped"]
pub enum ModeGuard<'s> {
    /// The shared lock.
    Shared(SharedGuard<'s>),
    /// The exclusive lock, or a transaction's.
    Exclusive(ExclusiveGuard<'s>),
}

impl<'s> ModeGuard<'s> {
    pub(crate) fn acquire(space: &'s Space, mode: LockMode, wait: Wait) -> Result<Self, LockError> {
        Ok(match mode {
            LockMode::Shared => ModeGuard::Shared(SharedGuard::acquire(space, wait)?),
            mode => ModeGuard::Exclusive(ExclusiveGuard::acquire(space, mode, wait)?),
        })
    }

    /// The mode in which the lock is held.
    pub fn mode(&self) -> LockMode {
        match self {
            ModeGuard::Shared(_) => LockMode::Shared,
            ModeGuard::Exclusive(guard) => guard.mode(),
        }
    }

    /// The exclusive guard, if it is one.
    pub fn exclusive(&mut self) -> Option<&mut ExclusiveGuard<'s>> {
        match self {
            ModeGuard::Shared(_) => None,
            ModeGuard::Exclusive(guard) => Some(guard),
        }
    }

    /// The shared guard, if it is one.
    pub fn shared(&mut self) -> Option<&mut SharedGuard<'s>> {
        match self {
            ModeGuard::Shared(guard) => Some(guard),
            ModeGuard::Exclusive(_) => None,
        }
    }
}

/// The locks of several spaces, taken together (ceda's `MultipleCSpaceLock`). From
/// [`Space::lock_multiple`].
#[must_use = "the locks are released when the guard is dropped"]
pub struct MultiGuard<'s> {
    /// In the order in which the spaces were given; `None` once released.
    guards: Vec<Option<ModeGuard<'s>>>,
    wanted: Vec<(&'s Space, LockMode)>,
}

impl<'s> MultiGuard<'s> {
    fn acquire(wanted: Vec<(&'s Space, LockMode)>) -> Result<Self, LockError> {
        MultiGuard::acquire_with(wanted, |space, mode| {
            ModeGuard::acquire(space, mode, Wait::Forever)
        })
    }

    /// Takes the locks one by one, in the order that everybody keeps.
    fn acquire_with(
        wanted: Vec<(&'s Space, LockMode)>,
        mut acquire: impl FnMut(&'s Space, LockMode) -> Result<ModeGuard<'s>, LockError>,
    ) -> Result<Self, LockError> {
        if held::count() > 0 {
            return Err(LockError::HoldsOthers);
        }
        let order = in_order(&wanted);
        for pair in order.windows(2) {
            if Space::ptr_eq(wanted[pair[0]].0, wanted[pair[1]].0) {
                return Err(LockError::Duplicate { space: wanted[pair[0]].0.name().to_string() });
            }
        }
        // Before the first: transactions would begin and end for nothing.
        if wanted.len() > held::HELD_MAX {
            return Err(LockError::TooMany { max: held::HELD_MAX });
        }
        let mut guards: Vec<Option<ModeGuard<'s>>> = wanted.iter().map(|_| None).collect();
        for i in order {
            let (space, mode) = wanted[i];
            guards[i] = Some(acquire(space, mode)?);
        }
        Ok(MultiGuard { guards, wanted })
    }

    /// Whether this thread holds other spaces than these.
    fn holds_others(&self) -> bool {
        held::count() > self.guards.iter().flatten().count()
    }

    /// How many spaces were given.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.guards.len()
    }

    /// The guard of the space given at this place, unless it was released.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut ModeGuard<'s>> {
        self.guards.get_mut(index)?.as_mut()
    }

    /// All guards that were not released, to be used side by side.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ModeGuard<'s>> {
        self.guards.iter_mut().filter_map(Option::as_mut)
    }

    /// Releases the lock of the space given at this place; false if it was before.
    pub fn release(&mut self, index: usize) -> bool {
        self.guards.get_mut(index).is_some_and(|guard| guard.take().is_some())
    }

    /// Lets the collectors and other threads in, if one of the spaces is wanted: all locks are given up and
    /// taken again. Transactions stay the ones that they are.
    ///
    /// While this thread holds another space nothing happens, as with [`ExclusiveGuard::safepoint`].
    ///
    /// # Errors
    ///
    /// If they cannot be had again; none is held then.
    pub fn safepoint(self) -> Result<Self, LockError> {
        let held = self.wanted.iter().zip(&self.guards).filter(|(_, guard)| guard.is_some());
        let spaces: Vec<&'s Space> = held.map(|((space, _), _)| *space).collect();
        if self.holds_others() || !spaces.iter().any(|space| space.inner.want().is_raised()) {
            return Ok(self);
        }
        let (mut guard, ()) = self.unlocked(|| {
            for space in spaces {
                space.inner.at_safepoint();
            }
        })?;
        for guard in guard.iter_mut().filter_map(ModeGuard::exclusive) {
            guard.kept.space().inner.settle_want();
        }
        Ok(guard)
    }

    /// Releases all locks while `f` runs, and takes those again that were held, in order. Those that were
    /// released before are gone from the places. A transaction stays one transaction, and if `f` panics, it ends: its
    /// lock is taken again for the callbacks.
    ///
    /// # Errors
    ///
    /// If they cannot be had again; none is held then, and of transactions that could not be taken again the callbacks
    /// for the end are not called. Before `f` is called if this thread holds other spaces too.
    pub fn unlocked<R>(self, f: impl FnOnce() -> R) -> Result<(Self, R), LockError> {
        if self.holds_others() {
            return Err(LockError::HoldsOthers);
        }
        let released = Released::new(self);
        let result = f();
        Ok((released.retake()?, result))
    }
}

/// The places of spaces in the order in which their locks are taken: the older one's first.
fn in_order(spaces: &[(&Space, LockMode)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spaces.len()).collect();
    order.sort_by_key(|&i| spaces[i].0.inner.id());
    order
}

/// The locks of several spaces that were given up to be taken again.
struct Released<'s> {
    wanted: Vec<(&'s Space, LockMode)>,
    /// Whether the thread was panicking when it gave them up.
    panicking: bool,
}

impl<'s> Released<'s> {
    fn new(mut guard: MultiGuard<'s>) -> Released<'s> {
        let mut wanted = core::mem::take(&mut guard.wanted);
        let mut held = guard.guards.iter().map(Option::is_some);
        wanted.retain(|_| held.next().unwrap_or(false));
        let released = Released { wanted, panicking: std::thread::panicking() };
        for guard in guard.guards.drain(..).flatten() {
            match guard {
                // What it takes to take them again is known here.
                ModeGuard::Shared(guard) => drop(guard.begin_unlock()),
                ModeGuard::Exclusive(guard) => drop(guard.begin_unlock()),
            }
        }
        released
    }

    fn retake(mut self) -> Result<MultiGuard<'s>, LockError> {
        let (wanted, panicking) = (core::mem::take(&mut self.wanted), self.panicking);
        MultiGuard::acquire_with(wanted, |space, mode| match mode {
            LockMode::Shared => SharedGuard::acquire(space, Wait::Forever).map(ModeGuard::Shared),
            mode => ExclusiveGuard::retake(space, mode, panicking).map(ModeGuard::Exclusive),
        })
    }
}

impl Drop for Released<'_> {
    /// Ends the transactions among them, if a panic gets here. It did not come out of an access, so it poisons
    /// nothing.
    fn drop(&mut self) {
        self.wanted.retain(|(_, mode)| *mode == LockMode::Transaction);
        for i in in_order(&self.wanted) {
            let (space, mode) = self.wanted[i];
            drop(ExclusiveGuard::retake(space, mode, true));
        }
    }
}

impl Space {
    /// Takes the locks of several spaces, each in its mode, in an order that cannot deadlock with
    /// another call (ceda's `LockMultipleCSpaces`).
    ///
    /// ```
    /// use cspace_core::{LockMode, Space};
    ///
    /// let (a, b) = (Space::builder().build()?, Space::builder().build()?);
    /// let mut locks = Space::lock_multiple([(&a, LockMode::Shared), (&b, LockMode::Exclusive)])?;
    /// locks.get_mut(1).unwrap().exclusive().unwrap().scope(|cx| cx.alloc(1u64).addr());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a space is given twice, if more are given than a thread can hold, if this thread holds any space, or if a
    /// lock cannot be had; none is held then.
    pub fn lock_multiple<'s>(
        spaces: impl IntoIterator<Item = (&'s Space, LockMode)>,
    ) -> Result<MultiGuard<'s>, LockError> {
        MultiGuard::acquire(spaces.into_iter().collect())
    }
}
