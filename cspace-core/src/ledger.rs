//! The ledger: one account of all bytes that belong to a space.
//!
//! Objects are counted by the heap, in its [`Counters`]; all else is *charged*: who allocates memory outside of the
//! heap charges it to a category first, and the [`Charge`] gives it back when it is dropped. The books of a space
//! are behind one mutex, which is held for some additions; when spaces merge they move ([`Forwarding`]), and charges
//! made before follow them.
//!
//! - **LG1 (sum).** What is charged to a category is the sum of its charges that exist, and what was reported. Books
//!   are kept in 128 bits, so that this is exact whatever is charged and merged; what they say in 64 stops at the most
//!   that these can say.
//! - **LG2 (limit).** No charge and no allocation takes the sum of charges and allocated objects over the limit: both
//!   look while they have the books' mutex, and what takes objects away never makes them seem fewer than they are
//!   (P21). Only a merge may, or a limit that is lowered or set: what is handed out at that very moment
//!   may be missed if there was none, a mebibyte at most.
//! - **LG3 (bare).** Nothing of the user's runs with the mutex held, and no handle on a space is dropped. Nor does
//!   anything of the user's run in a [`try_charge`](Ledger::try_charge): whoever allocates may hold locks.
//! - **LG4 (pending).** What is [pending](PendingCharge) counts for limits and for nothing else: the most that there
//!   was, the next collection and the soft limit are told of it when it is complete.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Duration;

use crate::amount;
use crate::batch;
use crate::changes::Changes;
use crate::collector::ForCollectors as _;
use crate::collector_handle::WeakCollectorHandle;
use crate::heap::Counters;
use crate::held;
use crate::protocol::Forwarding;
use crate::space::Space;

/// What memory outside of the heap is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Category {
    /// Arenas, and what was allocated in them.
    Arenas,
    /// Buffers (Java's pool `direct`).
    Buffers,
    /// Mapped files (Java's pool `mapped`).
    Maps,
    /// Configurations and contexts.
    Contexts,
    /// Asynchronous operations.
    Operations,
    /// What the embedder reports.
    External,
}

impl Category {
    /// All there are.
    pub const ALL: [Category; 6] = [
        Category::Arenas,
        Category::Buffers,
        Category::Maps,
        Category::Contexts,
        Category::Operations,
        Category::External,
    ];

    fn name(self) -> &'static str {
        match self {
            Category::Arenas => "arenas",
            Category::Buffers => "buffers",
            Category::Maps => "maps",
            Category::Contexts => "contexts",
            Category::Operations => "operations",
            Category::External => "external",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is charged to a category. Sums of more than `usize::MAX`, of ledgers that were merged, are said to be that.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Charges that exist.
    pub count: usize,
    /// Bytes that were asked for.
    pub capacity: usize,
    /// Bytes that they take: the capacity, and what alignment and management add.
    pub bytes: usize,
    /// The most bytes that there were at any time, what never was more than [pending](PendingCharge) left out.
    pub bytes_max: usize,
}

/// There was no room in a ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{requested} bytes more for {category} would pass the limit of {limit} bytes{} ({used} in use); {}",
    if *.is_of_category { " for them" } else { " for all memory of the space" },
    if *.is_inside_access {
        "no room was made, as this thread holds a space or runs a drop of a sweep: reserve before you enter, or leave the \
         access and try again"
    } else {
        "let go of some, collect outside of accesses, and try again, or raise the limit"
    }
)]
#[non_exhaustive]
pub struct MemoryFull {
    /// What the bytes were for.
    pub category: Category,
    /// Bytes that were asked for.
    pub requested: usize,
    /// Bytes in use: of the category, or of the space.
    pub used: usize,
    /// Bytes allowed.
    pub limit: usize,
    /// Whether the limit is that of the category, for capacity, or that of the space, for bytes.
    pub is_of_category: bool,
    /// Whether room would have been made first, by [`Ledger::charge`], if the thread had not held a space.
    pub is_inside_access: bool,
}

impl MemoryFull {
    /// Whether it would fit if enough went. Not what is more than the limit allows in all, and nothing makes room where
    /// there is no limit but that of what a sum can say.
    fn may_fit(&self) -> bool {
        self.requested <= self.limit && self.limit != usize::MAX
    }
}

/// The books of a space.
#[derive(Debug)]
pub(crate) struct Books {
    accounts: [Entry; Category::ALL.len()],
    /// Bytes of all accounts.
    charged: u128,
    /// Those of them that are pending (LG4).
    pending: u128,
    /// The most bytes that there were, objects included, as far as charges and finishes have seen.
    bytes_max: usize,
    objects_max: usize,
    /// What was reported, of what is charged to [`Category::External`].
    reported: u128,
    limits: Limits,
    /// With how many bytes the soft limit is next told to be passed.
    soft_next: usize,
    /// None for a ledger of no space.
    owner: Option<Owner>,
}

/// What a category's [`Account`] says, exactly.
#[derive(Clone, Copy, Default, Debug)]
struct Entry {
    count: usize,
    capacity: u128,
    bytes: u128,
    /// Of the bytes (LG4).
    pending: u128,
    bytes_max: u128,
}

impl Entry {
    fn account(&self) -> Account {
        Account {
            count: self.count,
            capacity: said(self.capacity),
            bytes: said(self.bytes),
            bytes_max: said(self.bytes_max),
        }
    }

    fn note(&mut self) {
        self.bytes_max = self.bytes_max.max(self.bytes - self.pending);
    }
}

/// A sum, or the most that can be said.
fn said(sum: u128) -> usize {
    usize::try_from(sum).unwrap_or(usize::MAX)
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    hard: usize,
    soft: usize,
    /// Of capacity, by category.
    of: [usize; Category::ALL.len()],
}

const NO_LIMITS: Limits =
    Limits { hard: usize::MAX, soft: usize::MAX, of: [usize::MAX; Category::ALL.len()] };

/// Whose books they are.
#[derive(Debug)]
struct Owner {
    counters: Arc<Counters>,
    space: WeakCollectorHandle,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("allocated", &self.allocated()).finish_non_exhaustive()
    }
}

impl Books {
    fn new(limits: Limits, owner: Option<Owner>) -> Books {
        Books {
            accounts: Default::default(),
            charged: 0,
            pending: 0,
            bytes_max: 0,
            objects_max: 0,
            reported: 0,
            limits,
            soft_next: limits.soft,
            owner,
        }
    }

    /// Bytes of objects. Those of a space that has ended do not count.
    fn objects(&self) -> usize {
        let owner = self.owner.as_ref().filter(|owner| owner.space.is_there());
        owner.map_or(0, |owner| owner.counters.allocated())
    }

    fn bytes(&self) -> usize {
        said(self.charged).saturating_add(self.objects())
    }

    /// Whether there is room for so many bytes of objects; if not, what is in use, and the limit.
    fn check(&self, bytes: usize) -> Result<(), (usize, usize)> {
        let (used, limit) = (self.bytes(), self.limits.hard);
        // Objects are where they are, whatever a sum can say.
        if bytes > limit.saturating_sub(used) && limit != usize::MAX {
            return Err((used, limit));
        }
        Ok(())
    }

    /// Bytes that are not pending (LG4).
    fn settled(&self) -> usize {
        said(self.charged - self.pending).saturating_add(self.objects())
    }

    fn space(&self) -> Option<WeakCollectorHandle> {
        self.owner.as_ref().map(|owner| owner.space.clone())
    }

    /// Notes a change for cycles by time. Returns what is to be woken when the mutex is free (LG3).
    fn note_change(&self) -> Option<Arc<Changes>> {
        let changes = &self.owner.as_ref()?.counters.changes;
        changes.note().then(|| Arc::clone(changes))
    }

    /// The counts have changed.
    fn note(&mut self) {
        self.bytes_max = self.bytes_max.max(self.settled());
        if let Some(owner) = &self.owner {
            owner.counters.charged.store(said(self.charged), Relaxed);
            owner.counters.pending.store(said(self.pending), Relaxed);
        }
    }

    /// The limits have changed.
    fn note_limits(&self) {
        let has_limit = self.limits.hard.min(self.limits.soft) != usize::MAX;
        if let Some(owner) = &self.owner {
            owner.counters.has_limit.store(has_limit, Relaxed);
        }
    }

    /// Adds a charge, pending (LG1, LG4), or says that it does not fit (LG2).
    fn add(&mut self, of: Category, more: Sum) -> Result<(), MemoryFull> {
        let (bytes, entry) = (self.bytes(), &mut self.accounts[of as usize]);
        let full = |requested, used, limit, is_of_category| {
            let is_inside_access = false;
            let category = of;
            Err(MemoryFull { category, requested, used, limit, is_of_category, is_inside_access })
        };
        let (limit, used) = (self.limits.of[of as usize], said(entry.capacity));
        if more.capacity > limit.saturating_sub(used) {
            return full(more.capacity, used, limit, true);
        }
        let limit = self.limits.hard;
        if more.bytes > limit.saturating_sub(bytes) {
            return full(more.bytes, bytes, limit, false);
        }
        let (more_bytes, capacity) = (more.bytes as u128, more.capacity as u128);
        entry.count += more.count;
        entry.capacity += capacity;
        entry.bytes += more_bytes;
        entry.pending += more_bytes;
        self.charged += more_bytes;
        self.pending += more_bytes;
        self.note();
        Ok(())
    }

    /// Of what is pending, so much is charged for good.
    fn complete(&mut self, of: Category, bytes: usize) {
        let entry = &mut self.accounts[of as usize];
        entry.pending -= bytes as u128;
        entry.note();
        self.pending -= bytes as u128;
        if let Some(owner) = &self.owner {
            amount::add(&owner.counters.charged_since, bytes);
        }
        self.note();
    }

    /// Takes away what is pending: it was never there.
    #[must_use]
    fn cancel(&mut self, of: Category, less: Sum) -> Option<Arc<Changes>> {
        self.subtract(of, less, less.bytes as u128)
    }

    /// Takes away charges, so many bytes of which are pending. Returns what is to be woken when the mutex is
    /// free (LG3).
    #[must_use]
    fn subtract(&mut self, of: Category, less: Sum, pending: u128) -> Option<Arc<Changes>> {
        // Objects may have come since the last charge.
        self.bytes_max = self.bytes_max.max(self.settled());
        self.pending -= pending;
        let entry = &mut self.accounts[of as usize];
        entry.pending -= pending;
        entry.count -= less.count;
        entry.capacity -= less.capacity as u128;
        entry.bytes -= less.bytes as u128;
        self.charged -= less.bytes as u128;
        self.note();
        if self.bytes() <= self.limits.soft {
            self.soft_next = self.limits.soft;
        }
        self.note_change()
    }

    /// By how much the soft limit is passed: when it is passed, and again whenever a sixteenth was added, so that a
    /// space that cannot get below it is not collected all the time.
    fn over_soft(&mut self, bytes: usize) -> usize {
        let soft = self.limits.soft;
        if bytes <= soft {
            self.soft_next = soft;
            return 0;
        }
        if bytes <= self.soft_next {
            return 0;
        }
        self.soft_next = bytes.saturating_add(soft / 16);
        bytes - soft
    }

    /// What the space is to be told after an addition, when the mutex is free (LG3).
    fn news(&mut self) -> News {
        let over_soft = self.over_soft(self.settled());
        let Some(owner) = &self.owner else { return News::None };
        let is_over_budget = owner.counters.is_over_budget();
        // Told once, until a finish.
        let is_news = is_over_budget && !owner.counters.over_budget.load(Relaxed);
        if over_soft == 0 && !is_news {
            return self.note_change().map_or(News::None, News::Change);
        }
        News::Pressure {
            space: Some(owner.space.clone()),
            asleep: self.note_change(),
            lacking: over_soft,
            is_over_budget,
        }
    }

    /// Adds the books of a space whose objects are merged into this one's. Limits stay.
    fn absorb(&mut self, from: &mut Books) {
        for (into, entry) in self.accounts.iter_mut().zip(core::mem::take(&mut from.accounts)) {
            into.count += entry.count;
            into.capacity += entry.capacity;
            into.bytes += entry.bytes;
            into.pending += entry.pending;
            into.note();
        }
        self.charged += core::mem::take(&mut from.charged);
        self.pending += core::mem::take(&mut from.pending);
        self.reported += core::mem::take(&mut from.reported);
        if let Some(owner) = from.owner.take() {
            owner.counters.charged.store(0, Relaxed);
            owner.counters.pending.store(0, Relaxed);
        }
        self.note();
    }
}

/// What a charge adds.
#[derive(Clone, Copy)]
struct Sum {
    count: usize,
    capacity: usize,
    bytes: usize,
}

/// What a space is to be told.
enum News {
    None,
    /// Somebody sleeps until something changes.
    Change(Arc<Changes>),
    /// It is over its soft limit by `lacking` bytes, or a charge was denied that lacked as many; or over its budget.
    Pressure {
        space: Option<WeakCollectorHandle>,
        asleep: Option<Arc<Changes>>,
        lacking: usize,
        is_over_budget: bool,
    },
}

impl News {
    fn tell(self) {
        let (space, lacking, is_over_budget) = match self {
            News::None => return,
            News::Change(changes) => return changes.wake(),
            News::Pressure { space, asleep, lacking, is_over_budget } => {
                wake(asleep);
                (space, lacking, is_over_budget)
            }
        };
        // Others may drop their handles meanwhile: then this one is the last. Whoever charges may have locks that the
        // drops of objects want, so what is left of the space is left to this thread, as in a sweep. Dropped after the
        // handle.
        let _sweeping = held::Sweeping::begin();
        /// Whatever a last handle's end leaves is not for this thread, which may never hold a space.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                batch::leave_to_reaper();
            }
        }
        let _leave = Leave;
        // Gone: nobody collects any more.
        let Some(handle) = space.and_then(|space| space.upgrade_now()) else { return };
        let space = &handle.inner;
        if lacking > 0 {
            space.requests().ask_for_room(lacking);
        } else if is_over_budget {
            let first = !space.counters().over_budget.swap(true, Relaxed);
            space.requests().note_over_budget(first, space.counters().is_far_over_budget());
        }
    }
}

/// The account of all memory of a space: objects, and what is charged outside of the heap.
///
/// One budget for everything that lives and dies with objects: the buffers that a script holds, the pages of a
/// cache, the contexts of requests. What is charged counts towards the next collection as allocated objects do, and
/// is limited:
///
/// - the *limit* of the space ([`set_limit`](Ledger::set_limit)), for the bytes of objects and charges together.
///   Charges and allocations that would pass it fail, and ask whoever runs the collections that are due for one that
///   evicts as much. What is more than the limit allows in all is refused and nothing else;
/// - the *soft limit* ([`set_soft_limit`](Ledger::set_soft_limit)): passing it asks for a collection that evicts what
///   is over it, and nothing fails;
/// - a limit for each category ([`set_category_limit`](Ledger::set_category_limit)), for the capacity in it, as Java
///   limits direct memory.
///
/// A `Ledger` is a handle: cheap to clone, `Send`, `Sync`. When the objects of its space are merged into another
/// one's, what was charged to it belongs to that one, and the handle too: get a new one for the space that was merged
/// by [`Space::ledger`]. [`Ledger::default`] is one of no space and without limits.
///
/// ```
/// use cspace_core::{Category, Space};
///
/// let space = Space::builder().build()?;
/// let ledger = space.ledger();
/// ledger.set_category_limit(Category::Buffers, Some(1000));
/// let charge = ledger.try_charge(Category::Buffers, 600)?;
/// assert!(ledger.try_charge(Category::Buffers, 600).is_err());
/// drop(charge);
/// assert!(ledger.try_charge(Category::Buffers, 600).is_ok());
/// assert_eq!(ledger.account(Category::Buffers).bytes_max, 600);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Ledger(Arc<Forwarding<Books>>);

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger(Forwarding::new(Books::new(NO_LIMITS, None)))
    }
}

impl Ledger {
    pub(crate) fn of_space(counters: &Arc<Counters>, space: WeakCollectorHandle) -> Ledger {
        let owner = Owner { counters: Arc::clone(counters), space };
        Ledger(Forwarding::new(Books::new(NO_LIMITS, Some(owner))))
    }

    /// For the same space, with the same limits and nothing charged.
    pub(crate) fn fresh(&self) -> Ledger {
        self.0.with(|books| {
            let owner = books.owner.as_ref();
            let owner = owner.map(|owner| Owner {
                counters: Arc::clone(&owner.counters),
                space: owner.space.clone(),
            });
            Ledger(Forwarding::new(Books::new(books.limits, owner)))
        })
    }

    /// Moves what is charged to another space's ledger, and the counts of objects by `objects`: who reads either ledger
    /// finds both there, or neither. Returns which is the ledger of both now: of this one and the target's the one that
    /// more others lead to. Both spaces are held exclusively.
    pub(crate) fn join(&self, target: &Ledger, objects: impl FnOnce()) -> Ledger {
        Ledger(self.0.join(&target.0, |from, into| {
            objects();
            into.absorb(from);
        }))
    }

    /// Whether there is room for so many bytes of objects; if not, what is in use, and the limit.
    pub(crate) fn check(&self, bytes: usize) -> Result<(), (usize, usize)> {
        self.0.with(|books| books.check(bytes))
    }

    /// Tells the space of what a merge brought, objects too: it may have passed the soft limit.
    pub(crate) fn tell_of_merge(&self) {
        let news = self.0.with(Books::news);
        news.tell();
    }

    /// Counts what the heap hands out, by `hand_out`, if that is within the limit (LG2), and returns what is over the
    /// soft limit; else what is in use, and the limit.
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        hand_out: impl FnOnce(),
    ) -> Result<usize, (usize, usize)> {
        self.0.with(|books| {
            books.check(bytes)?;
            hand_out();
            Ok(books.over_soft(books.settled()))
        })
    }

    /// A finish has come: there are as many bytes of objects as there will be.
    pub(crate) fn note_objects(&self) {
        self.0.with(|books| {
            books.objects_max = books.objects_max.max(books.objects());
            books.bytes_max = books.bytes_max.max(books.settled());
        });
    }

    /// Charges bytes to a category. Before they are allocated: it is an error if they do not fit.
    ///
    /// # Errors
    ///
    /// If a limit would be passed. Then whoever runs the collections that are due is asked for one that evicts as much,
    /// unless more is asked for than the limit allows in all, which is refused and nothing else. Where collections are
    /// only run by explicit calls, none is. Outside of accesses [`charge`](Ledger::charge) does more to make room.
    pub fn try_charge(&self, category: Category, bytes: usize) -> Result<Charge, MemoryFull> {
        self.try_charge_with_capacity(category, bytes, bytes)
    }

    /// As [`try_charge`](Ledger::try_charge), for memory of which `capacity` bytes were asked for and `bytes` are
    /// taken.
    ///
    /// # Errors
    ///
    /// As [`try_charge`](Ledger::try_charge).
    pub fn try_charge_with_capacity(
        &self,
        category: Category,
        bytes: usize,
        capacity: usize,
    ) -> Result<Charge, MemoryFull> {
        self.add(category, Sum { count: 1, capacity, bytes }, true)?;
        Ok(Charge { ledger: self.clone(), category, bytes, capacity })
    }

    /// Begins a charge for memory that is not there yet: what is [pending](PendingCharge) keeps to the limits, as a
    /// charge does, and leaves no trace if the memory cannot be had.
    ///
    /// ```
    /// use cspace_core::{Category, Ledger};
    ///
    /// let ledger = Ledger::default();
    /// let pending = ledger.try_begin_charge(Category::Buffers, 1 << 62, 1 << 62)?;
    /// // The system has no memory for that.
    /// drop(pending);
    /// assert_eq!(ledger.bytes_max(), 0);
    /// let pending = ledger.try_begin_charge(Category::Buffers, 100, 100)?;
    /// let charge = pending.complete();
    /// assert_eq!((charge.bytes(), ledger.bytes_max()), (100, 100));
    /// # Ok::<(), cspace_core::MemoryFull>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`try_charge`](Ledger::try_charge).
    pub fn try_begin_charge(
        &self,
        category: Category,
        bytes: usize,
        capacity: usize,
    ) -> Result<PendingCharge, MemoryFull> {
        self.begin(category, Sum { count: 1, capacity, bytes })
    }

    fn begin(&self, category: Category, sum: Sum) -> Result<PendingCharge, MemoryFull> {
        self.add(category, sum, false)?;
        Ok(PendingCharge { ledger: self.clone(), category, sum, is_complete: false })
    }

    fn add(&self, category: Category, more: Sum, complete: bool) -> Result<(), MemoryFull> {
        let (result, news) = self.0.with(|books| {
            let result = books.add(category, more);
            let news = match &result {
                Ok(()) if complete => {
                    books.complete(category, more.bytes);
                    books.news()
                }
                Ok(()) => News::None,
                // Nothing that could go would be enough.
                Err(full) if !full.may_fit() => News::None,
                Err(full) => News::Pressure {
                    space: books.space(),
                    asleep: None,
                    lacking: full.requested.saturating_sub(full.limit.saturating_sub(full.used)),
                    is_over_budget: false,
                },
            };
            (result, news)
        });
        news.tell();
        result
    }

    /// As [`try_charge_with_capacity`](Ledger::try_charge_with_capacity), and if there is no room makes some, as
    /// Java does for direct buffers. Called outside of accesses.
    ///
    /// One step after the other until there is room: what sweeps have left to this thread is done, cleaners above all;
    /// a collection, which evicts what is lacking; another one, for what the first set free, after which unused
    /// memory goes back to the system; then up to nine waits of 1, 2, 4 … 256 ms, half a second together, in which
    /// other threads may let go of something, with another collection in the middle. `wait` is called for them:
    /// `std::thread::sleep`, or a test's.
    ///
    /// # Errors
    ///
    /// If there is still no room. At once if this thread holds a space or runs a drop of a sweep, where nothing can
    /// be collected, or if more is asked for than the limit allows in all.
    pub fn charge(
        &self,
        category: Category,
        bytes: usize,
        capacity: usize,
        wait: impl FnMut(Duration),
    ) -> Result<Charge, MemoryFull> {
        Ok(self.begin_charge(category, bytes, capacity, wait)?.complete())
    }

    /// As [`charge`](Ledger::charge), for memory that is not there yet: see
    /// [`try_begin_charge`](Ledger::try_begin_charge).
    ///
    /// # Errors
    ///
    /// As [`charge`](Ledger::charge).
    pub fn begin_charge(
        &self,
        category: Category,
        bytes: usize,
        capacity: usize,
        mut wait: impl FnMut(Duration),
    ) -> Result<PendingCharge, MemoryFull> {
        let again = || self.try_begin_charge(category, bytes, capacity);
        let full = match again() {
            Ok(pending) => return Ok(pending),
            Err(full) => full,
        };
        if !full.may_fit() {
            return Err(full);
        }
        if !Space::may_wait_for_cycle() {
            return Err(MemoryFull { is_inside_access: true, ..full });
        }
        let space = || {
            let space = self.0.with(|books| books.space());
            space.and_then(|space| space.upgrade_now())
        };
        // It may fail: in a space without a collector, or with a lock that was leaked. Then others let go, or nobody.
        let collect = || {
            if let Some(space) = space() {
                // Who destroys the space waits for this thread's handle.
                let _driving = held::Driving::begin();
                let _ = space.collect();
            }
        };
        crate::collector::run_deferred();
        for step in 0..2 + WAIT_COUNT {
            match again() {
                Ok(pending) => return Ok(pending),
                Err(_) if step < 2 || step == 2 + WAIT_COUNT / 2 => collect(),
                Err(_) => {}
            }
            if step >= 2 {
                wait(Duration::from_millis(1 << (step - 2)));
            }
        }
        again()
    }

    /// Reports memory outside of the heap that came (or went, if `delta` is negative) with objects, in bytes: for an
    /// embedder whose objects own memory of a library, say. It is counted under [`Category::External`] and towards
    /// the next collection, and no limit makes it fail. Returns what is reported in all, at most `usize::MAX`; the sum
    /// does not go below zero.
    ///
    /// Where the memory has an owner, a [`Charge`] in it cannot be forgotten. Where `visit_objects` reports the same
    /// bytes, do not report them here too.
    pub fn report_external_bytes(&self, delta: isize) -> usize {
        let (reported, news) = self.0.with(|books| {
            let entry = &mut books.accounts[Category::External as usize];
            let old = books.reported;
            let new = old.saturating_add_signed(delta as i128);
            entry.bytes = entry.bytes - old + new;
            entry.capacity = entry.capacity - old + new;
            entry.note();
            books.reported = new;
            books.charged = books.charged - old + new;
            if let (Some(owner), more @ 1..) = (&books.owner, new.saturating_sub(old)) {
                amount::add(&owner.counters.charged_since, said(more));
            }
            books.note();
            (said(new), books.news())
        });
        news.tell();
        reported
    }

    /// What is charged to a category.
    pub fn account(&self, category: Category) -> Account {
        self.0.with(|books| books.accounts[category as usize].account())
    }

    /// The account of objects: those alive at the last collection, and those allocated since. The count is what
    /// [`Space::num_objects`] says, but nobody is waited for: while another thread is writing, objects that are about to
    /// be made are in it. They always are in the bytes, and so are objects that were found dead until they are swept. The
    /// most there were is what finishes have seen.
    pub fn objects(&self) -> Account {
        let (account, space) = self.0.with(|books| {
            let bytes = books.objects();
            let bytes_max = books.objects_max.max(bytes);
            (Account { count: 0, capacity: bytes, bytes, bytes_max }, books.space())
        });
        // As in `News::tell`: this may be the last handle.
        let _sweeping = held::Sweeping::begin();
        let space = space.and_then(|space| space.upgrade_now());
        let count = space.map_or(0, |space| space.inner.count_objects_now());
        Account { count, ..account }
    }

    /// All bytes: of objects, and what is charged.
    pub fn bytes(&self) -> usize {
        self.0.with(|books| books.bytes())
    }

    /// The most bytes that there were, as far as charges and finishes have seen.
    pub fn bytes_max(&self) -> usize {
        self.0.with(|books| books.bytes_max.max(books.settled()))
    }

    /// What is charged, in bytes, over all categories.
    pub fn charged(&self) -> usize {
        self.0.with(|books| said(books.charged))
    }

    /// The limit, in bytes, of objects and charges together.
    pub fn limit(&self) -> Option<usize> {
        self.0.with(|books| given(books.limits.hard))
    }

    /// Sets the limit, in bytes; none: no limit. What is over it stays, and whatever comes fails until enough went.
    pub fn set_limit(&self, bytes: Option<usize>) {
        let asleep = self.0.with(|books| {
            books.limits.hard = bytes.unwrap_or(usize::MAX);
            books.note_limits();
            books.note_change()
        });
        wake(asleep);
    }

    /// The number of bytes, objects and charges together, above which charges ask for a collection that evicts.
    pub fn soft_limit(&self) -> Option<usize> {
        self.0.with(|books| given(books.limits.soft))
    }

    /// Sets the soft limit, in bytes; none: no such limit.
    pub fn set_soft_limit(&self, bytes: Option<usize>) {
        let news = self.0.with(|books| {
            books.limits.soft = bytes.unwrap_or(usize::MAX);
            books.soft_next = books.limits.soft;
            books.note_limits();
            books.news()
        });
        news.tell();
    }

    /// The limit for the capacity of a category, in bytes.
    pub fn category_limit(&self, category: Category) -> Option<usize> {
        self.0.with(|books| given(books.limits.of[category as usize]))
    }

    /// Sets the limit for the capacity of a category, in bytes; none: no limit.
    pub fn set_category_limit(&self, category: Category, bytes: Option<usize>) {
        let asleep = self.0.with(|books| {
            books.limits.of[category as usize] = bytes.unwrap_or(usize::MAX);
            books.note_change()
        });
        wake(asleep);
    }
}

/// Wakes whoever sleeps until something changes, with the mutex free (LG3).
fn wake(asleep: Option<Arc<Changes>>) {
    if let Some(changes) = asleep {
        changes.wake();
    }
}

/// How often [`Ledger::charge`] waits.
const WAIT_COUNT: u32 = 9;

fn given(limit: usize) -> Option<usize> {
    (limit != usize::MAX).then_some(limit)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("bytes", &self.bytes())
            .field("charged", &self.charged())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Ledger {
    /// A table: a line for objects, for each category in use, and for all, in bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &dyn fmt::Display, account: Account| {
            let Account { count, bytes, bytes_max, .. } = account;
            writeln!(f, "{name:<10} {count:>10} {bytes:>14} {bytes_max:>14}")
        };
        line(&"objects", self.objects())?;
        for category in Category::ALL {
            let account = self.account(category);
            if account.bytes_max > 0 {
                line(&category, account)?;
            }
        }
        write!(f, "{:<10} {:>10} {:>14} {:>14}", "all", "", self.bytes(), self.bytes_max())
    }
}

/// A charge for memory that is not there yet. From [`Ledger::try_begin_charge`] and [`Charge::try_begin_grow`].
///
/// It keeps to the limits: nobody else gets the bytes. But it leaves no trace: only when it is
/// [complete](PendingCharge::complete) does it count for the most bytes that there were ([`Account::bytes_max`]), the
/// next collection and the soft limit. Dropped before, it was never there. So charge what you are about to ask the
/// system for, ask, and complete the charge or drop it.
#[must_use = "dropped, it gives the bytes back"]
pub struct PendingCharge {
    ledger: Ledger,
    category: Category,
    sum: Sum,
    is_complete: bool,
}

impl PendingCharge {
    /// The memory is there.
    pub fn complete(mut self) -> Charge {
        self.settle();
        let Sum { capacity, bytes, .. } = self.sum;
        Charge { ledger: self.ledger.clone(), category: self.category, bytes, capacity }
    }

    /// How many bytes are charged.
    pub fn bytes(&self) -> usize {
        self.sum.bytes
    }

    /// How many of them were asked for.
    pub fn capacity(&self) -> usize {
        self.sum.capacity
    }

    /// The ledger that they are charged to.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn settle(&mut self) {
        let news = self.ledger.0.with(|books| {
            books.complete(self.category, self.sum.bytes);
            books.news()
        });
        self.is_complete = true;
        news.tell();
    }
}

impl Drop for PendingCharge {
    fn drop(&mut self) {
        if !self.is_complete {
            wake(self.ledger.0.with(|books| books.cancel(self.category, self.sum)));
        }
    }
}

impl fmt::Debug for PendingCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, capacity) = (self.bytes(), self.capacity());
        f.debug_struct("PendingCharge")
            .field("category", &self.category)
            .field("bytes", &bytes)
            .field("capacity", &capacity)
            .finish()
    }
}

/// Bytes that are charged to a [`Ledger`]. Dropping it gives them back.
#[must_use = "dropped, it gives the bytes back"]
pub struct Charge {
    ledger: Ledger,
    category: Category,
    bytes: usize,
    capacity: usize,
}

impl Charge {
    /// How many bytes are charged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many of them were asked for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// What they are for.
    pub fn category(&self) -> Category {
        self.category
    }

    /// The ledger that they are charged to.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Charges bytes more.
    ///
    /// # Errors
    ///
    /// As [`Ledger::try_charge`]; nothing is changed then.
    pub fn try_grow(&mut self, more: usize) -> Result<(), MemoryFull> {
        self.ledger.add(self.category, Sum { count: 0, capacity: more, bytes: more }, true)?;
        // The account has more: no overflow.
        self.bytes += more;
        self.capacity += more;
        Ok(())
    }

    /// Begins to charge bytes more, for memory that is not there yet; [`add`](Charge::add) them when it is. See
    /// [`Ledger::try_begin_charge`].
    ///
    /// # Errors
    ///
    /// As [`Ledger::try_charge`].
    pub fn try_begin_grow(&self, more: usize) -> Result<PendingCharge, MemoryFull> {
        self.ledger.begin(self.category, Sum { count: 0, capacity: more, bytes: more })
    }

    /// As [`try_begin_grow`](Charge::try_begin_grow) if there is room; if not, nothing is asked for. For who would like
    /// more than is needed.
    pub fn begin_grow_if_room(&self, more: usize) -> Option<PendingCharge> {
        let sum = Sum { count: 0, capacity: more, bytes: more };
        self.ledger.0.with(|books| books.add(self.category, sum)).ok()?;
        let (ledger, category) = (self.ledger.clone(), self.category);
        Some(PendingCharge { ledger, category, sum, is_complete: false })
    }

    /// Completes what was [begun](Charge::try_begin_grow), as a part of this charge.
    ///
    /// # Panics
    ///
    /// If it is of another ledger or category, or of a charge of its own.
    #[track_caller]
    pub fn add(&mut self, mut more: PendingCharge) {
        let is_of_this = more.category == self.category
            && more.sum.count == 0
            && Arc::ptr_eq(&more.ledger.0, &self.ledger.0);
        assert!(is_of_this, "only what was begun by `try_begin_grow` of a charge is added to it");
        more.settle();
        // The account has more: no overflow.
        self.bytes += more.sum.bytes;
        self.capacity += more.sum.capacity;
    }

    /// Gives some bytes back.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    pub fn shrink(&mut self, less: usize) {
        assert!(
            less <= self.bytes,
            "{less} bytes of a charge of {} cannot be given back",
            self.bytes
        );
        let sum = Sum { count: 0, capacity: less.min(self.capacity), bytes: less };
        wake(self.ledger.0.with(|books| books.subtract(self.category, sum, 0)));
        self.bytes -= sum.bytes;
        self.capacity -= sum.capacity;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let sum = Sum { count: 1, capacity: self.capacity, bytes: self.bytes };
        wake(self.ledger.0.with(|books| books.subtract(self.category, sum, 0)));
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Charge { category, bytes, capacity, .. } = self;
        f.debug_struct("Charge")
            .field("category", category)
            .field("bytes", bytes)
            .field("capacity", capacity)
            .finish()
    }
}
