//! Eviction: which evictable objects a collection lets go of, and what becomes of them.
//!
//! The marker visits an evictable reference's cell, but not its target. When everything that roots reach is
//! marked, the collector has a list of the cells that it came by. Those whose target is marked are held by
//! something else: they count, and stay. Of the others an [`EvictionPolicy`] chooses *victims*; the rest is kept,
//! which is to say marked, with all that it reaches. That may show cells that nobody saw before, so it goes in
//! waves:
//!
//! ```text
//! strong mark ─> cells ─> policy ─> mark the kept ─> new cells? ─ no ─> the victims' callback wants them whole:
//!                  ▲                                    │               mark them too
//!                  └── of the new and the kept alike ───┘ yes
//! ```
//!
//! A kept one that a later wave chooses after all has lost its reference, though its object, marked by then, stays
//! until the next collection; and so does a victim that a kept object refers to. After [`WAVES`] waves, what is
//! still to be found is found all together and chosen from once, so that the cost is linear in the number of
//! cells however they are nested.
//!
//! Readers go on meanwhile: `protocol/fate.rs` is how they learn of a choice and take it back.
//!
//! - **E1 (held).** When a finish condemns, the target of every marked cell whose fate is 0 is marked.
//! - **E2 (let go).** The target of a cell whose fate is that of a cycle that condemned is not read again, but by
//!   the delivery of that cycle's victims, which holds them as roots.
//! - **E3 (own).** A cell in a space's list of victims to deliver is marked, with its target, by every cycle of
//!   that space, or is taken out because it was rescued.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::access::Exclusive;
use crate::any::GcAny;
use crate::batch::{panic_message, Batch};
use crate::chunk::{is_marked, mark_address};
use crate::collector::{LockWait, SLICE_MAX};
use crate::event::Event;
use crate::evictable::EvictCell;
use crate::guard::LockMode;
use crate::held;
use crate::protocol::Verdicts;
use crate::space::{Space, SpaceInner, Wait};
use crate::stamp::Floor;
use crate::visitor::{prefetch, Visitor};

/// How often victims are chosen in one collection at most.
pub(crate) const WAVES: usize = 8;
/// How far ahead in the list of cells memory is asked for.
const AHEAD: usize = 16;
/// Victims whose callback is called in one access.
const DELIVERED_MAX: usize = 64;

/// A number of evictable references, and the bytes that they stand for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// How many there are.
    pub count: usize,
    /// Their sizes together, in bytes; `usize::MAX` if it is more than that.
    pub bytes: usize,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The evictable references that a collection has found so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Residents {
    /// Those whose object is held by something else too: they count, but cannot be let go of.
    pub strong: Tally,
    /// Those whose object only they hold: the candidates.
    pub candidates: Tally,
    /// Those that this collection let go of.
    pub evicted: Tally,
    /// Bytes of the largest allocation that failed at the heap's limit since the last collection.
    pub lacking: usize,
}

impl Residents {
    /// What is resident: strong ones and candidates.
    pub fn resident(&self) -> Tally {
        self.strong.plus(self.candidates)
    }
}

/// An evictable reference that a collection may let go of. Ordered by touches, the least recent first.
///
/// A policy reorders those that it is given. It cannot make one, and what it returns is checked.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Candidate {
    stamp: u64,
    /// In which order the collection came by it, and where in its list it is.
    index: usize,
    size_bytes: usize,
}

impl Candidate {
    /// When it was touched: later is larger.
    #[inline]
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// How many bytes it stands for.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

/// Chooses which evictable objects collections let go of.
///
/// Implemented by `cspace-evict`; given to the space by
/// [`Builder::eviction_policy`](crate::Builder::eviction_policy). Without one everything is kept.
///
/// `is_over` and `choose` are called on the collecting thread while it holds the space, so they must be quick and
/// must not wait for anything. If one panics, nothing more is let go of in that wave, and an
/// [event](Event::EvictionPanicked) tells. A count that is too large, or an order that makes no sense, does no
/// harm but to the choice.
pub trait EvictionPolicy: Send + Sync {
    /// Whether something is to be let go of. Asked in every collection once at least; `choose` is not called, and
    /// its candidates not listed, if not.
    fn is_over(&self, residents: &Residents) -> bool;

    /// Moves the candidates to let go of to the front; returns how many these are.
    fn choose(&self, residents: &Residents, candidates: &mut [Candidate]) -> usize;

    /// A collection has condemned. Called when the lock is released, before the objects are reclaimed; to collect
    /// here is an error, as it is in a drop.
    fn note(&self, residents: &Residents) {
        let _ = residents;
    }

    /// Whether [`on_evict`](EvictionPolicy::on_evict) wants to see victims. They stay until the collection after
    /// that, then.
    fn wants_victims(&self) -> bool {
        false
    }

    /// A victim, whole, in an ordinary access, after the collection that cleared its references.
    fn on_evict<'gc>(&self, cx: &mut Exclusive<'gc>, object: GcAny<'gc>) {
        let _ = (cx, object);
    }
}

/// A cell in a list of the space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellRef(*const EvictCell);

// SAFETY: a cell is made of atomics; who may look at it is a matter of the list that it is in.
unsafe impl Send for CellRef {}

impl CellRef {
    pub(crate) fn new(cell: &EvictCell) -> CellRef {
        CellRef(cell)
    }
}

/// Victims of one cycle whose callback was not called yet.
struct Evicted {
    number: u64,
    policy: Arc<dyn EvictionPolicy>,
    cells: Vec<CellRef>,
}

/// What a space knows of its evictable objects between collections.
pub struct Eviction {
    pub(crate) floor: Floor,
    pub(crate) verdicts: Verdicts<CellRef>,
    /// By the collector, and by the holder of the exclusive lock.
    evicted: Mutex<Vec<Evicted>>,
    /// Whether there are any; written under the mutex.
    has_evicted: AtomicBool,
    /// What the policy's panics said, until it is told.
    panics: Mutex<Vec<String>>,
}

impl Default for Eviction {
    fn default() -> Self {
        Eviction {
            floor: Floor::default(),
            verdicts: Verdicts::new(),
            evicted: Mutex::default(),
            has_evicted: AtomicBool::new(false),
            panics: Mutex::default(),
        }
    }
}

impl Eviction {
    /// Whether there are victims to deliver.
    pub(crate) fn has_evicted(&self) -> bool {
        self.has_evicted.load(Relaxed)
    }

    /// Makes room for what another space has to deliver, to take it over.
    pub(crate) fn prepare(&self, other: &Eviction) {
        let count = other.evicted.lock().len();
        self.evicted.lock().reserve(count);
    }

    /// Takes over what another space has to deliver. The caller holds both exclusively.
    pub(crate) fn absorb(&self, other: &Eviction) {
        self.floor.raise_to(&other.floor);
        let mut moving = core::mem::take(&mut *other.evicted.lock());
        other.has_evicted.store(false, Relaxed);
        let mut evicted = self.evicted.lock();
        evicted.append(&mut moving);
        self.has_evicted.store(!evicted.is_empty(), Relaxed);
    }

    /// Shows a marker the victims that are to be delivered (E3).
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark.
    pub(crate) unsafe fn mark_evicted(&self, visitor: &mut Visitor<'_>) {
        let mut evicted = self.evicted.lock();
        evicted.retain_mut(|of_cycle| {
            of_cycle.cells.retain(|cell| {
                // SAFETY: the cells of the list are there (E3), marked by the last cycle or made a part of the
                // list by it.
                let cell_at = unsafe { &*cell.0 };
                // One that was rescued is no victim; it is reached as others are, or garbage.
                let is_victim = cell_at.fate.chosen_by() == of_cycle.number;
                if is_victim {
                    visitor.edge_any(cell.0.cast());
                    visitor.edge_any(cell_at.target());
                }
                is_victim
            });
            !of_cycle.cells.is_empty()
        });
        self.has_evicted.store(!evicted.is_empty(), Relaxed);
    }

    /// The next victim to deliver.
    ///
    /// # Safety
    ///
    /// The caller holds the space exclusively, and uses the object in that access only.
    unsafe fn next_evicted(&self) -> Option<(Arc<dyn EvictionPolicy>, *const u8)> {
        let mut evicted = self.evicted.lock();
        let mut next = None;
        while let (None, Some(of_cycle)) = (&next, evicted.last_mut()) {
            let Some(cell) = of_cycle.cells.pop() else {
                evicted.pop();
                continue;
            };
            // SAFETY: the cells of the list are there (E3), and with them, if they were not rescued, their targets.
            let cell = unsafe { &*cell.0 };
            if cell.fate.chosen_by() == of_cycle.number {
                next = Some((Arc::clone(&of_cycle.policy), cell.target()));
            }
        }
        while evicted.last().is_some_and(|of_cycle| of_cycle.cells.is_empty()) {
            evicted.pop();
        }
        self.has_evicted.store(!evicted.is_empty(), Relaxed);
        next
    }

    fn note_panic(&self, message: String) {
        self.panics.lock().push(message);
    }

    /// What panics said since the last call.
    pub(crate) fn take_panics(&self) -> Vec<String> {
        core::mem::take(&mut *self.panics.lock())
    }
}

/// The next cycle's number that chooses.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A tally that does not overflow.
#[derive(Default, Clone, Copy)]
struct Sum {
    count: usize,
    bytes: u128,
}

impl Sum {
    fn add(&mut self, size: usize) {
        self.count += 1;
        self.bytes += size as u128;
    }

    fn remove(&mut self, size: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size as u128);
    }

    fn tally(self) -> Tally {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        Tally { count: self.count, bytes }
    }
}

/// A cell that nothing but evictable references holds the target of, and its size when it was found.
#[derive(Clone, Copy)]
struct Weak {
    /// Null: chosen.
    cell: *const EvictCell,
    size: usize,
}

/// The choice of one cycle.
#[derive(Default)]
pub(crate) struct Choice {
    candidates: Vec<Weak>,
    /// How many of them are marked: kept by an earlier wave.
    kept: usize,
    victims: Vec<CellRef>,
    /// The cycle's; 0 as long as there is no victim.
    number: u64,
    /// Whether the victims are marked, to be delivered.
    deliver: bool,
    strong: Sum,
    weak: Sum,
    evicted: Sum,
    lacking: usize,
}

impl Choice {
    fn residents(&self) -> Residents {
        Residents {
            strong: self.strong.tally(),
            candidates: self.weak.tally(),
            evicted: self.evicted.tally(),
            lacking: self.lacking,
        }
    }

    /// Chooses victims, and marks the kept.
    ///
    /// # Safety
    ///
    /// By the collector of the space, which has marked what roots reach; the graph is frozen.
    pub(crate) unsafe fn run(&mut self, visitor: &mut Visitor<'_>, inner: &SpaceInner) {
        let (eviction, policy) = (inner.eviction(), inner.eviction_policy());
        self.lacking = inner.requests().take_lacking();
        // SAFETY: the caller's promise, for all of them.
        unsafe {
            for wave in 1..=WAVES {
                let any = self.sort(visitor, eviction);
                if !any && wave > 1 {
                    break;
                }
                if wave == WAVES {
                    loop {
                        self.mark_kept(visitor);
                        visitor.drain();
                        if !self.sort(visitor, eviction) {
                            break;
                        }
                    }
                }
                if let Some(policy) = policy {
                    self.let_go(policy.as_ref(), eviction);
                }
                self.mark_kept(visitor);
                visitor.drain();
            }
            if let Some(policy) = policy.filter(|_| !self.victims.is_empty()) {
                self.deliver = guarded(eviction, || policy.wants_victims()).unwrap_or(false);
            }
            if self.deliver {
                for victim in &self.victims {
                    visitor.edge_any((*victim.0).target());
                }
                self.keep_late(visitor, eviction);
            }
        }
    }

    /// Sorts the cells that were found since the last call; whether there were any.
    ///
    /// # Safety
    ///
    /// The marker's work is done, and the cells were found in this cycle.
    unsafe fn sort(&mut self, visitor: &mut Visitor<'_>, eviction: &Eviction) -> bool {
        let found = core::mem::take(&mut visitor.evict_cells);
        let mut newest = 0;
        for (at, cell) in found.iter().enumerate() {
            if let Some(next) = found.get(at + AHEAD) {
                prefetch(next.cast());
            }
            if let Some(next) = found.get(at + AHEAD / 2) {
                // SAFETY: a cell that was found in this cycle is there.
                prefetch(mark_address(unsafe { &**next }.target()));
            }
            // SAFETY: as above; a cell that was found has a target that no finish condemned (E1).
            let (at, size, is_strong) = unsafe {
                let at = &**cell;
                (at, at.size.load(Relaxed), is_marked(at.target()))
            };
            newest = newest.max(at.stamp.load(Relaxed));
            if is_strong {
                self.strong.add(size);
            } else {
                self.weak.add(size);
                self.candidates.push(Weak { cell: *cell, size });
            }
        }
        eviction.floor.raise(newest);
        !found.is_empty()
    }

    /// Has the policy choose among the candidates.
    ///
    /// # Safety
    ///
    /// The candidates' cells were found in this cycle.
    unsafe fn let_go(&mut self, policy: &dyn EvictionPolicy, eviction: &Eviction) {
        let residents = self.residents();
        if guarded(eviction, || policy.is_over(&residents)) != Some(true) {
            return;
        }
        let mut list = Vec::with_capacity(self.candidates.len());
        for (index, weak) in self.candidates.iter().enumerate() {
            if let Some(next) = self.candidates.get(index + AHEAD) {
                prefetch(next.cell.cast());
            }
            // SAFETY: the caller's promise.
            let stamp = unsafe { &*weak.cell }.stamp.load(Relaxed);
            list.push(Candidate { stamp, index, size_bytes: weak.size });
        }
        let count = guarded(eviction, || policy.choose(&residents, &mut list)).unwrap_or(0);
        if count == 0 {
            return;
        }
        if self.number == 0 {
            self.number = NEXT_NUMBER.fetch_add(1, Relaxed);
            eviction.verdicts.begin(self.number);
        }
        for victim in list.iter().take(count) {
            // The index is looked up with care: somebody may have swapped two lists.
            let Some(weak) = self.candidates.get_mut(victim.index) else { continue };
            let cell = core::mem::replace(&mut weak.cell, core::ptr::null());
            if cell.is_null() {
                continue;
            }
            self.weak.remove(weak.size);
            self.evicted.add(weak.size);
            self.victims.push(CellRef(cell));
            // SAFETY: the caller's promise.
            eviction.verdicts.choose(unsafe { &(*cell).fate }, self.number);
        }
        let kept = self.candidates[..self.kept].iter().filter(|weak| !weak.cell.is_null()).count();
        self.candidates.retain(|weak| !weak.cell.is_null());
        self.kept = kept;
    }

    /// Shows the marker the targets of the candidates that it has not been shown.
    ///
    /// # Safety
    ///
    /// The candidates' cells were found in this cycle.
    unsafe fn mark_kept(&mut self, visitor: &mut Visitor<'_>) {
        for (at, weak) in self.candidates.iter().enumerate().skip(self.kept) {
            if let Some(next) = self.candidates.get(at + AHEAD) {
                prefetch(next.cell.cast());
            }
            // SAFETY: the caller's promise; the target is there (E1).
            visitor.edge_any(unsafe { &*weak.cell }.target());
        }
        self.kept = self.candidates.len();
    }

    /// Marks what readers rescued, and keeps what is found from there on; returns how many were rescued.
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark or finish; the graph is frozen.
    pub(crate) unsafe fn keep_late(
        &mut self,
        visitor: &mut Visitor<'_>,
        eviction: &Eviction,
    ) -> usize {
        let rescued = eviction.verdicts.take_rescued();
        // SAFETY: the caller's promise. What was rescued is a victim of this cycle (P16), whose target no finish
        // has condemned yet; the reader that rescued it, or the mark of its cell, keeps the cell.
        unsafe {
            for cell in &rescued {
                let cell = &*cell.0;
                let size = cell.size.load(Relaxed);
                self.evicted.remove(size);
                self.weak.add(size);
                visitor.edge_any(cell.target());
            }
            visitor.drain();
            while self.sort(visitor, eviction) {
                self.mark_kept(visitor);
                visitor.drain();
            }
        }
        rescued.len()
    }

    /// The cycle condemns: its victims are gone, or are to be delivered. Returns what it came to.
    ///
    /// The lists stay: to free those of a large cache takes milliseconds, and everybody waits.
    ///
    /// # Safety
    ///
    /// In the finish of the space, after all marking.
    pub(crate) unsafe fn end(&mut self, inner: &SpaceInner) -> Residents {
        let (residents, eviction) = (self.residents(), inner.eviction());
        eviction.verdicts.end();
        if let (true, Some(policy)) = (self.deliver, inner.eviction_policy()) {
            let mut evicted = eviction.evicted.lock();
            let policy = Arc::clone(policy);
            let cells = core::mem::take(&mut self.victims);
            evicted.push(Evicted { number: self.number, policy, cells });
            eviction.has_evicted.store(true, Relaxed);
        }
        residents
    }

    /// The cycle is given up: its victims are none.
    ///
    /// # Safety
    ///
    /// By the collector of the space, in its mark or finish.
    pub(crate) unsafe fn give_up(&mut self, inner: &SpaceInner) {
        inner.requests().note_lacking(self.lacking);
        if self.number != 0 {
            // SAFETY: victims were found in this cycle, which condemned nothing.
            let fates = self.victims.iter().map(|victim| unsafe { &(*victim.0).fate });
            inner.eviction().verdicts.give_up(fates);
        }
    }
}

/// Calls the policy; none if it panicked, which will be told.
fn guarded<R>(eviction: &Eviction, f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|panic| eviction.note_panic(panic_message(panic)))
        .ok()
}

/// Tells the policy what a cycle came to. With the lock released, but not the claim: as in a sweep, to collect is an
/// error rather than a wait for oneself.
pub(crate) fn note(inner: &SpaceInner, residents: &Residents) {
    if let Some(policy) = inner.eviction_policy() {
        let _sweeping = held::Sweeping::begin();
        guarded(inner.eviction(), || policy.note(residents));
    }
}

impl Space {
    /// Calls [`EvictionPolicy::on_evict`] for each victim that was not delivered yet, in ordinary exclusive accesses; returns whether
    /// none is left. For collectors, when a cycle is over.
    ///
    /// A thread that holds a space, or runs a sweep, delivers nothing: it could not wait for the lock.
    pub fn deliver_evicted(&self, wait: LockWait<'_>) -> bool {
        let (inner, eviction) = (&self.inner, self.inner.eviction());
        let mut slice = wait.slice;
        while eviction.has_evicted() {
            if !Batch::can_reclaim() {
                return false;
            }
            if inner.acquire(LockMode::Exclusive, Wait::For(slice)).is_err() {
                slice = slice.saturating_mul(2).min(SLICE_MAX.max(wait.slice));
                if !(wait.go_on)() || inner.is_leaked() || self.is_poisoned() {
                    return false;
                }
                continue;
            }
            let panics = self.deliver_some();
            inner.settle_want();
            inner.release(LockMode::Exclusive);
            self.tell_evict_panics(panics);
        }
        true
    }

    /// Delivers some victims, with the lock held; returns what panics said.
    fn deliver_some(&self) -> Vec<String> {
        let (inner, eviction) = (&self.inner, self.inner.eviction());
        let mut panics = Vec::new();
        for _ in 0..DELIVERED_MAX {
            // SAFETY: the lock is held exclusively until this function returns; the token is the only one, and
            // its brand is that of this iteration's object alone.
            let delivered = unsafe {
                let Some((policy, object)) = eviction.next_evicted() else { break };
                let mut token = Exclusive::new(inner);
                let object = GcAny::from_address(object);
                catch_unwind(AssertUnwindSafe(|| policy.on_evict(&mut token, object)))
            };
            // A panic that left the objects whole is caught as others are.
            inner.forget_harmless_panic();
            if let Err(panic) = delivered {
                panics.push(panic_message(panic));
            }
        }
        panics
    }

    fn tell_evict_panics(&self, panics: Vec<String>) {
        self.inner.stats.lock().evict_panics += panics.len() as u64;
        for message in panics {
            self.inner.emit(&Event::EvictionPanicked { message });
        }
    }

    /// Tells the listeners of panics of the policy.
    pub(crate) fn tell_policy_panics(&self) {
        let panics = self.inner.eviction().take_panics();
        if !panics.is_empty() {
            self.tell_evict_panics(panics);
        }
    }

    /// Whether this space has victims to deliver. For collectors.
    pub fn has_evicted(&self) -> bool {
        self.inner.eviction().has_evicted()
    }
}
