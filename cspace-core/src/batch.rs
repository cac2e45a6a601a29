//! A condemned batch: sweeping it, and then what the dead leave to do.
//!
//! A finish detaches all of the space's spans, the entries of weak sets that are to be filtered, and
//! the contents of owned roots that nobody holds any more. The batch owns them: the mutator goes on
//! with new spans. Reclaiming has two parts, both with nothing locked:
//!
//! - the *sweep* ([`Batch::sweep`]) runs no user code, on any thread. It filters the weak sets, tells the cleaners of the
//!   dead from those of the living (`cleaner.rs`), frees the cells of dead objects whose drops run no user code, and hands their
//!   spans back. Then it gives up the claim: the next cycle may begin.
//! - what *remains* ([`Remains`]) is user code: cleaners of the dead, hooks, drops. It may take long, or wait for
//!   somebody for ever. So nothing waits for it but the memory of the very objects that wait to be dropped.
//!
//! A span with living objects and with dead ones that wait for their drops goes back to the heap, which allocates
//! nothing in it ([`SpanRef::waits`]). The allocation bits of the dead are cleared by the sweep; which cells they
//! are in only the remains know. So later cycles mark and sweep what else is in the span.
//!
//! The last batch of a space also owns the values of its slots (`ptr_slot.rs`), which are dropped after the objects.
//!
//! - **B1 (dead).** A cell of the batch whose allocation bit is set and whose mark bit is not holds an
//!   object that nobody can reach: weak references to it are cleared, weak sets do not show it. So does a cell that the
//!   remains know of, until they have dropped it.
//! - **B2 (bare).** The thread that runs what remains holds no space and is in no other sweep, so drops may do
//!   anything: enter a space, allocate, lock others, drop the last handle of a space, panic.
//! - **B3 (waits).** While a batch counts among those that a span waits for, the heap allocates no cell of it and does not
//!   give it back. The finish counts its batch for every span that waits already; the sweep for those that begin to.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, Ordering::Relaxed};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::amount::{self, sum};
use crate::chunk::{SpanKind, SpanRef, GRANULE};
use crate::claim::{CycleClaim, DropsOut};
use crate::cleaner::{self, Cleanup};
use crate::collector_handle::CollectorHandle;
use crate::event::UserCode;
use crate::heap::{self, Counters};
use crate::held;
use crate::home::{Gate, Home};
use crate::hooks::Hooks;
use crate::memory::Memory;
use crate::owned_root::DroppedCell;
use crate::pieces;
use crate::pile::Pile;
use crate::pool;
use crate::ptr_slot::SlotValue;
use crate::space::Space;
use crate::type_info::TypeInfo;
use crate::weak_set::Filter;

/// What freed memory is overwritten with under `poison_freed`.
const POISON: u8 = 0xDB;
/// Spans handed back at a time.
const HAND_BACK: usize = 64;
/// So many bytes of cells are not kept back for the sake of that: a limit may be in the way of those who want them.
const HAND_BACK_BYTES: usize = 1 << 20;
/// User code of the dead that takes longer is told of.
const SLOW: Duration = Duration::from_millis(100);

/// What a cycle condemned, to be reclaimed.
#[must_use = "a batch that is not reclaimed leaks its memory"]
pub struct Batch {
    pub(crate) home: Arc<Home>,
    /// Keeps other cycles out, and the space alive; none for the last batch of a space.
    pub(crate) claim: Option<CycleClaim>,
    pub(crate) work: Box<Work>,
    /// What the finish took the live bytes to be.
    pub(crate) live_estimate: usize,
    pub(crate) poison_freed: bool,
    /// The space is gone: spans go to the pool rather than back, and so does the heap.
    pub(crate) last: Option<Arc<Memory>>,
    /// Whether it was swept.
    pub(crate) done: bool,
}

/// What a batch has to do.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) filters: Vec<Arc<Filter>>,
    pub(crate) cleanups: Pile<Cleanup>,
    /// Room for those whose objects are dead.
    pub(crate) due: Vec<Cleanup>,
    pub(crate) dropped: Vec<DroppedCell>,
    pub(crate) spans: Pile<SpanRef>,
    /// Spans of the heap that wait for earlier batches, and for this one until its sweep has looked at them (B3).
    pub(crate) waiting: Vec<SpanRef>,
    /// Of the last batch of a space.
    pub(crate) slot_values: Vec<SlotValue>,
    /// Emptied by the sweep before: nobody can look at them any more.
    pub(crate) mappings: Pile<SpanRef>,
}

/// What reclaiming a batch came to.
#[derive(Debug, Default, Clone)]
pub struct Reclaimed {
    /// Bytes of cells that stay.
    pub bytes_live: usize,
    /// Cells that stay.
    pub objects_live: usize,
    /// Cells that were freed.
    pub objects_reclaimed: usize,
    /// Messages of drops that panicked.
    pub drop_panics: Vec<String>,
    /// Actions of cleaners that ran.
    pub cleaners_run: usize,
    /// Messages of actions of cleaners that panicked.
    pub cleaner_panics: Vec<String>,
    /// What took long of it.
    pub slow: Vec<SlowUserCode>,
}

/// User code of dead objects that took more than 100 milliseconds. From [`Event::SlowUserCode`](crate::Event::SlowUserCode).
///
/// ```
/// use cspace_core::{Event, Space};
///
/// let space = Space::builder()
///     .on_event(|event| {
///         if let Event::SlowUserCode(slow) = event {
///             eprintln!("{:?} of {}: {:?}", slow.what, slow.type_name, slow.took);
///         }
///     })
///     .build()?;
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowUserCode {
    /// What it was.
    pub what: UserCode,
    /// The type of the objects that died; empty where it is not known.
    pub type_name: &'static str,
    /// How long it took.
    pub took: Duration,
}

impl Batch {
    /// Whether this thread may run what remains of a batch (B2). If not, it is left for when it may.
    pub fn can_reclaim() -> bool {
        held::count() == 0 && !held::is_sweeping() && !held::is_bystander()
    }

    /// Reclaims the batch: sweeps it, gives up the claim on its cycle, and runs what remains.
    ///
    /// # Errors
    ///
    /// Gives the batch back if this thread may not ([`can_reclaim`](Batch::can_reclaim)). Dropped then, it is swept, and
    /// leaves what remains for a thread that may.
    pub fn reclaim(self) -> Result<Reclaimed, Batch> {
        self.reclaim_then(|_| ())
    }

    /// As [`reclaim`](Batch::reclaim), and calls `note` when all is done: before the claim is given up if nothing remains,
    /// else while the space is kept, so that who waits for its drops sees what was noted.
    ///
    /// # Errors
    ///
    /// As [`reclaim`](Batch::reclaim).
    pub fn reclaim_then(self, note: impl FnOnce(&Reclaimed)) -> Result<Reclaimed, Batch> {
        if !Batch::can_reclaim() {
            return Err(self);
        }
        let mut note = Some(note);
        let remains = self.sweep_then(|remains| {
            if let Some(note) = note.take_if(|_| remains.is_empty()) {
                note(remains.reclaimed());
            }
        });
        let note_rest = |reclaimed: &Reclaimed| {
            if let Some(note) = note {
                note(reclaimed);
            }
        };
        match remains.run_then(note_rest) {
            Ok(reclaimed) => Ok(reclaimed),
            Err(_) => unreachable!("a sweep runs no user code, so this thread may as before"),
        }
    }

    /// Sweeps the batch, on any thread, and gives up the claim on its cycle. Runs no user code: that is what remains.
    pub fn sweep(self) -> Remains {
        self.sweep_then(|_| ())
    }

    /// As [`sweep`](Batch::sweep), and calls `note` before the claim is given up: who waits for the cycle sees what was
    /// noted. It sees what remains, and [what the sweep came to](Remains::reclaimed); who runs that may be found a place in
    /// a queue, before that of whatever later cycles leave.
    pub fn sweep_then(mut self, note: impl FnOnce(&Remains)) -> Remains {
        self.done = true;
        let work = core::mem::take(&mut *self.work);
        // First of all: the mark bits that weak sets go by are those of objects that are freed in what follows.
        for filter in work.filters {
            filter.run();
        }
        let is_last = self.last.is_some();
        let mut sweep = Sweep {
            home: &self.home,
            remains: Remains {
                home: Arc::clone(&self.home),
                drops_out: None,
                // By the marks too.
                cleanups: if is_last {
                    // Nothing is marked: all are due.
                    work.cleanups
                } else {
                    cleaner::sort(&self.home, work.cleanups, work.due)
                },
                dropped: work.dropped,
                spans: Vec::new(),
                words: Vec::new(),
                slot_values: work.slot_values,
                swept: Vec::new(),
                reclaimed: Reclaimed::default(),
                poison_freed: self.poison_freed,
                last: self.last.take(),
                done: false,
            },
            swept: Vec::new(),
            waiting: Vec::new(),
            freed: Freed::default(),
            frozen_live: 0,
            unseen_live: 0,
        };
        for span in work.waiting {
            // SAFETY: the finish counted this batch for the span (B3).
            unsafe { sweep.waiting_span(span) };
        }
        for span in work.spans {
            // SAFETY: the batch owns its spans (H4).
            unsafe { sweep.span(span) };
            let is_enough = sweep.swept.len() >= HAND_BACK || sweep.freed.cells >= HAND_BACK_BYTES;
            if is_enough && sweep.remains.last.is_none() {
                sweep.hand_back(|_| ());
            }
        }
        for span in work.mappings {
            // SAFETY: swept and empty since the cycle before; its finish ended every access that could
            // have looked at it.
            unsafe { unmap(span) };
        }
        if sweep.remains.last.is_some() {
            sweep.remains.swept = core::mem::take(&mut sweep.swept);
        } else {
            let (frozen, unseen) = (sweep.frozen_live, sweep.unseen_live);
            let (all, bytes) =
                (sweep.remains.reclaimed.objects_live, sweep.remains.reclaimed.bytes_live);
            // What waits for its drop takes memory as before.
            let occupied = sum([bytes, sweep.remains.bytes()]);
            let estimate = self.live_estimate;
            // Other batches may have been counted beside this one, if spaces were merged: a difference.
            sweep.hand_back(|counters| {
                counters.live_estimate.fetch_add(occupied.wrapping_sub(estimate), Relaxed);
                counters.old.count([frozen, all - frozen, unseen], bytes);
            });
        }
        pool::trim();
        let mut remains = sweep.remains;
        note(&remains);
        remains.drops_out = self.claim.take().map(CycleClaim::leave_for_drops);
        remains
    }
}

impl Drop for Batch {
    /// A batch that is not swept would leave mark bits set.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.done = true;
        let batch = Batch {
            home: Arc::clone(&self.home),
            claim: self.claim.take(),
            work: core::mem::take(&mut self.work),
            live_estimate: self.live_estimate,
            poison_freed: self.poison_freed,
            last: self.last.take(),
            done: false,
        };
        drop(batch.sweep());
    }
}

/// Bytes that were freed and not counted yet.
#[derive(Default)]
struct Freed {
    /// Of spans that were given back to the pool.
    spans: usize,
    /// Of cells whose objects are gone.
    cells: usize,
}

/// A sweep under way.
struct Sweep<'b> {
    home: &'b Home,
    remains: Remains,
    /// Spans that are done with and not handed back yet.
    swept: Vec<SpanRef>,
    /// And those that begin to wait (B3).
    waiting: Vec<SpanRef>,
    freed: Freed,
    /// Of the objects that stay, those of types that do not change.
    frozen_live: usize,
    /// And those of types that may change unseen (I3).
    unseen_live: usize,
}

impl Sweep<'_> {
    /// Hands spans back to the space that they belong to now, which need not be that of the finish.
    fn hand_back(&mut self, count: impl FnOnce(&Counters)) {
        let mut waiting = core::mem::take(&mut self.waiting);
        hand_back(self.home, core::mem::take(&mut self.swept), &mut self.freed, |counters| {
            counters.waiting.lock().append(&mut waiting);
            count(counters);
        });
    }

    /// Sweeps a span of the batch's.
    ///
    /// # Safety
    ///
    /// The batch owns the span (H4).
    unsafe fn span(&mut self, span: SpanRef) {
        // SAFETY: the caller's promise.
        let Some(found) = (unsafe { self.look(span) }) else { return self.swept.push(span) };
        let kind = found.kind;
        if found.dead > 0 && found.needs_drop {
            let is_alone = found.live == 0 || self.remains.last.is_some();
            // SAFETY: the caller's promise.
            unsafe { self.remains.note(span, &found, is_alone) };
            if !is_alone {
                // Before the span is handed back (B3).
                span.waits().fetch_add(1, Relaxed);
                self.waiting.push(span);
            }
            return;
        }
        if found.live > 0 {
            return self.swept.push(span);
        }
        if found.dead == 0 && kind == SpanKind::Mapping {
            // Emptied by an earlier batch, as `mappings` are.
            // SAFETY: the finish since then ended every access that could have looked at it.
            return unsafe { unmap(span) };
        }
        // SAFETY: nothing of the span is alive, its bits are zero, and it is the batch's.
        unsafe { free(span, kind, &mut self.freed, &mut self.swept) };
    }

    /// Sweeps a span of the heap's that waits for this batch (B3).
    ///
    /// # Safety
    ///
    /// The span waits for the batch, whose sweep this is.
    unsafe fn waiting_span(&mut self, span: SpanRef) {
        // SAFETY: the caller's promise; while it waits nobody else changes its bits.
        match unsafe { self.look(span) } {
            Some(found) if found.dead > 0 => {
                // SAFETY: as above.
                unsafe { self.remains.note(span, &found, false) };
            }
            _ => end_wait(self.home, span),
        }
    }

    /// Counts what is alive and dead in a span, and takes the allocation bits of the dead away; those that need a drop
    /// are in the last words of the remains afterwards. None if there is no memory to note them in: then the dead
    /// are as they were, and the next cycle finds them again.
    ///
    /// # Safety
    ///
    /// The batch owns the span (H4), or the span waits for it (B3).
    unsafe fn look(&mut self, span: SpanRef) -> Option<Found> {
        // SAFETY: the caller's promise, for all of them.
        let ((marks, allocs), info, cell_bytes, kind, base) =
            unsafe { (span.bits(), span.info(), span.cell_bytes(), span.kind(), span.base()) };
        let needs_drop = info.may_run_user_code;
        let remains = &mut self.remains;
        let first = remains.words.len();
        if needs_drop
            && (remains.words.try_reserve(marks.len()).is_err()
                || remains.spans.try_reserve(1).is_err())
        {
            let cells: u32 = allocs.iter().map(u64::count_ones).sum();
            // SAFETY: the caller's promise.
            unsafe { span.set_live_count(cells) };
            return None;
        }
        let (mut live, mut dead) = (0, 0);
        for (word, (marked, allocated)) in marks.iter().zip(allocs.iter()).enumerate() {
            debug_assert_eq!(marked & !allocated, 0, "a marked cell that is not allocated");
            let here = allocated & !marked;
            live += marked.count_ones() as usize;
            dead += here.count_ones() as usize;
            // The bits say dead before a drop runs: whatever it does, it runs once.
            if here != 0 {
                allocs.store(word, marked);
            }
            if needs_drop {
                remains.words.push(here);
            } else if info.drop.is_some() || remains.poison_freed {
                let (panics, poison) = (&mut remains.reclaimed.drop_panics, remains.poison_freed);
                for_each_cell(base, word, here, |cell| {
                    if let Some(drop_at) = info.drop {
                        // SAFETY: the cell holds an object of the span's type that nobody can reach (B1).
                        guarded(panics, || unsafe { drop_at(cell) });
                    }
                    if poison {
                        // SAFETY: the cell is the batch's, and holds nothing any more.
                        unsafe { core::ptr::write_bytes(cell, POISON, cell_bytes) };
                    }
                });
            }
        }
        if dead == 0 {
            remains.words.truncate(first);
        }
        if !needs_drop {
            self.freed.cells += dead * cell_bytes;
        }
        let reclaimed = &mut remains.reclaimed;
        reclaimed.objects_live += live;
        reclaimed.objects_reclaimed += dead;
        reclaimed.bytes_live = sum([reclaimed.bytes_live, live * cell_bytes]);
        if !info.may_change {
            self.frozen_live += live;
        }
        if info.changes_unseen {
            self.unseen_live += live;
        }
        // SAFETY: the caller's promise.
        unsafe { span.set_live_count(live as u32) };
        Some(Found { live, dead, needs_drop, first, info, cell_bytes, kind })
    }
}

/// What a sweep found in a span.
struct Found {
    live: usize,
    dead: usize,
    /// Whether the dead run user code.
    needs_drop: bool,
    /// Where in the remains' words the dead are.
    first: usize,
    info: &'static TypeInfo,
    cell_bytes: usize,
    kind: SpanKind,
}

/// Calls `f` with the address of each cell of a word of a span.
fn for_each_cell(base: *mut u8, word: usize, mut bits: u64, mut f: impl FnMut(*mut u8)) {
    while bits != 0 {
        let granule = word * 64 + bits.trailing_zeros() as usize;
        bits &= bits - 1;
        f(base.wrapping_add(granule * GRANULE));
    }
}

/// Hands spans back to the space that they belong to now, and counts what was freed.
fn hand_back(home: &Home, swept: Vec<SpanRef>, freed: &mut Freed, count: impl FnOnce(&Counters)) {
    let freed = core::mem::take(freed);
    home.gate.put(swept, |counters| {
        counters.committed.fetch_sub(freed.spans, Relaxed);
        counters.bytes.free(freed.cells);
        count(counters);
    });
}

/// As [`hand_back`], when objects were dropped that waited for it. They were taken to be alive until then.
fn hand_back_dropped(home: &Home, swept: Vec<SpanRef>, freed: &mut Freed) {
    let bytes = freed.cells;
    hand_back(home, swept, freed, |counters| amount::sub(&counters.live_estimate, bytes));
}

/// A batch is done with a span that waited for it.
fn end_wait(home: &Home, span: SpanRef) {
    // ORDERING: Release: with the heap's Acquire, what the drops did in the cells comes before what the heap does there.
    span.waits().fetch_sub(1, Ordering::Release);
    // A hint: the next finish looks without.
    home.gate.owner().has_waited.store(true, Relaxed);
}

/// Gives the memory of an empty span back, or prepares that.
///
/// # Safety
///
/// Nothing of the span is alive, its bits are zero, and it is the caller's (H4).
unsafe fn free(span: SpanRef, kind: SpanKind, freed: &mut Freed, swept: &mut Vec<SpanRef>) {
    // SAFETY: the caller's promise.
    unsafe {
        if kind == SpanKind::Mapping {
            let bytes = span.bytes();
            freed.spans += bytes;
            pool::decommit_object(NonNull::new_unchecked(span.base()), bytes);
            swept.push(span);
        } else {
            freed.spans += heap::give_back(span, kind);
        }
    }
}

/// What remains of a batch that is swept: cleaners of the dead, hooks, drops. User code.
///
/// Dropped without having been run, it is left for a thread that may run it.
///
/// ```
/// use cspace_core::collector::{ForCollectors, LockWait, MarkPhase};
/// use cspace_core::{Space, Static};
/// use std::time::Duration;
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| cx.alloc(Static(vec![1u8])).addr());
/// let mut phase = MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER)?;
/// phase.mark()?;
/// let finish = phase.try_finish(Duration::from_secs(1)).ok().expect("nobody is inside");
/// let remains = finish.condemn()?.0.sweep();
/// // The next cycle may begin, though the dead are not dropped yet.
/// assert!(!remains.is_empty() && space.try_claim_cycle().is_some());
/// assert_eq!(remains.run().ok().unwrap().objects_reclaimed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the dead are not dropped until it is run"]
pub struct Remains {
    home: Arc<Home>,
    /// Keeps the space, and no cycle out; none for the last batch of a space.
    drops_out: Option<DropsOut>,
    cleanups: Pile<Cleanup>,
    dropped: Vec<DroppedCell>,
    spans: Vec<DeadIn>,
    /// A bit for each granule of those spans: whether a dead object begins there.
    words: Vec<u64>,
    slot_values: Vec<SlotValue>,
    /// Of the last batch of a space: empty spans.
    swept: Vec<SpanRef>,
    reclaimed: Reclaimed,
    poison_freed: bool,
    last: Option<Arc<Memory>>,
    /// Whether it was run.
    done: bool,
}

/// Dead objects of a span that wait for their drops.
struct DeadIn {
    span: SpanRef,
    info: &'static TypeInfo,
    cell_bytes: usize,
    kind: SpanKind,
    /// Which words say where they are.
    first: usize,
    end: usize,
    count: usize,
    /// Nothing else is in the span, and it is the batch's; else it waits in the heap (B3).
    is_alone: bool,
}

impl Remains {
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.cleanups.is_empty()
            && self.dropped.is_empty()
            && self.spans.is_empty()
            && self.slot_values.is_empty()
    }

    /// What the sweep came to.
    pub fn reclaimed(&self) -> &Reclaimed {
        &self.reclaimed
    }

    /// The space whose cycle condemned the batch; none of the last batch of a space.
    pub(crate) fn space(&self) -> Option<&Space> {
        self.drops_out.as_ref().map(DropsOut::space)
    }

    /// Names the batch's space, for those who wait for its drops.
    pub fn ticket(&self) -> BatchTicket {
        let space = self.drops_out.as_ref().map(DropsOut::space_id);
        BatchTicket { gate: Some(Arc::clone(&self.home.gate)), space }
    }

    /// Notes the dead of a span, whose words are the last ones.
    ///
    /// # Safety
    ///
    /// The batch owns the span (H4), or the span waits for it (B3).
    unsafe fn note(&mut self, span: SpanRef, found: &Found, is_alone: bool) {
        let Found { dead, first, info, cell_bytes, kind, .. } = *found;
        let end = self.words.len();
        self.spans.push(DeadIn { span, info, cell_bytes, kind, first, end, count: dead, is_alone });
    }

    /// Bytes of the cells of the dead.
    fn bytes(&self) -> usize {
        self.spans.iter().map(|dead| dead.count * dead.cell_bytes).fold(0, usize::saturating_add)
    }

    /// Runs the cleaners, hooks and drops, on this thread, and lets go of the space.
    ///
    /// # Errors
    ///
    /// Gives itself back if this thread may not ([`Batch::can_reclaim`]).
    pub fn run(self) -> Result<Reclaimed, Box<Remains>> {
        self.run_then(|_| ())
    }

    /// As [`run`](Remains::run), and calls `note` at the end, before it lets go of the space.
    ///
    /// # Errors
    ///
    /// As [`run`](Remains::run).
    pub fn run_then(mut self, note: impl FnOnce(&Reclaimed)) -> Result<Reclaimed, Box<Remains>> {
        if !Batch::can_reclaim() && !self.is_empty() {
            return Err(Box::new(self));
        }
        self.done = true;
        let sweeping = held::Sweeping::begin();
        let mut reclaimed = core::mem::take(&mut self.reclaimed);
        let progress = Arc::clone(self.home.gate.owner());
        let mut watch = StopWatch::new(&progress);
        for due in core::mem::take(&mut self.cleanups) {
            if let Some(action) = due.action.take() {
                reclaimed.cleaners_run += 1;
                pieces::run(|| guarded(&mut reclaimed.cleaner_panics, action));
                watch.lap(UserCode::Cleaner, due.target.type_name(), &mut reclaimed);
            }
        }
        for cell in self.dropped.drain(..) {
            pieces::run(|| guarded(&mut reclaimed.drop_panics, || drop(cell)));
            watch.lap(UserCode::OwnedValue, "", &mut reclaimed);
        }
        let (mut swept, mut freed) = (core::mem::take(&mut self.swept), Freed::default());
        for dead in core::mem::take(&mut self.spans) {
            // SAFETY: the sweep found the dead, nobody else knows of them (B1), and this thread is bare (B2).
            pieces::run(|| unsafe { self.drop_dead(&dead, &mut reclaimed, &mut watch) });
            freed.cells += dead.count * dead.cell_bytes;
            if !dead.is_alone {
                end_wait(&self.home, dead.span);
            } else {
                // SAFETY: the batch owns it (H4), and nothing is in it any more.
                unsafe { free(dead.span, dead.kind, &mut freed, &mut swept) };
            }
            let is_enough = swept.len() >= HAND_BACK || freed.cells >= HAND_BACK_BYTES;
            if is_enough && self.last.is_none() {
                hand_back_dropped(&self.home, core::mem::take(&mut swept), &mut freed);
            }
        }
        for value in self.slot_values.drain(..) {
            pieces::run(|| guarded(&mut reclaimed.drop_panics, || drop(value)));
            watch.lap(UserCode::SlotValue, "", &mut reclaimed);
        }
        if let Some(memory) = self.last.take() {
            destroy(&memory, swept);
        } else if freed.cells > 0 {
            hand_back_dropped(&self.home, swept, &mut freed);
        }
        pool::trim();
        note(&reclaimed);
        drop(sweeping);
        // It may have kept a space that nobody else has, which ends here then.
        drop(self.drops_out.take());
        Ok(reclaimed)
    }

    /// Runs the hooks and drops of the dead of a span.
    ///
    /// # Safety
    ///
    /// The sweep noted them, nobody has dropped one, and this thread may run user code (B2).
    unsafe fn drop_dead(
        &self,
        dead: &DeadIn,
        reclaimed: &mut Reclaimed,
        watch: &mut StopWatch<'_>,
    ) {
        let info = dead.info;
        let base = dead.span.base();
        for (word, bits) in self.words[dead.first..dead.end].iter().enumerate() {
            for_each_cell(base, word, *bits, |cell| {
                if let Some(hooks_at) = info.hooks {
                    let mut panics = Vec::new();
                    // SAFETY: the cell holds an object of the span's type that nobody can reach (B1).
                    guarded(&mut reclaimed.drop_panics, || unsafe {
                        hooks_at(cell, &mut Hooks::new(&mut panics));
                    });
                    reclaimed.drop_panics.append(&mut panics);
                }
                if let Some(drop_at) = info.drop {
                    // SAFETY: as above.
                    guarded(&mut reclaimed.drop_panics, || unsafe { drop_at(cell) });
                }
                watch.tick();
                if self.poison_freed {
                    // SAFETY: the cell holds nothing any more, and waits for this batch or is its own.
                    unsafe { core::ptr::write_bytes(cell, POISON, dead.cell_bytes) };
                }
            });
        }
        watch.lap(UserCode::Drop, info.name(), reclaimed);
    }
}

impl Drop for Remains {
    /// Memory that nobody drops would stay, and so would what keeps the space.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.done = true;
        let remains = Remains {
            home: Arc::clone(&self.home),
            drops_out: self.drops_out.take(),
            cleanups: core::mem::take(&mut self.cleanups),
            dropped: core::mem::take(&mut self.dropped),
            spans: core::mem::take(&mut self.spans),
            words: core::mem::take(&mut self.words),
            slot_values: core::mem::take(&mut self.slot_values),
            swept: core::mem::take(&mut self.swept),
            reclaimed: core::mem::take(&mut self.reclaimed),
            poison_freed: self.poison_freed,
            last: self.last.take(),
            done: false,
        };
        if remains.is_empty() {
            drop(remains.run());
            return;
        }
        let ticket = remains.drops_out.is_some().then(|| remains.ticket());
        defer(ticket, Box::new(move || drop(remains.run())));
    }
}

/// Tells how long user code took, and that it goes on.
struct StopWatch<'c> {
    lap_begun: Instant,
    counters: &'c Counters,
}

impl<'c> StopWatch<'c> {
    fn new(counters: &'c Counters) -> StopWatch<'c> {
        StopWatch { lap_begun: Instant::now(), counters }
    }

    /// A drop has ended: who waits for all of them sees that they get on.
    #[inline]
    fn tick(&self) {
        let done = &self.counters.drops_done;
        // One of two batches at once may be missed: a sign of life is all that it is.
        done.store(done.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// A cleaner, or the drops of a span, have ended.
    fn lap(&mut self, what: UserCode, type_name: &'static str, reclaimed: &mut Reclaimed) {
        self.tick();
        let now = Instant::now();
        let took = now.duration_since(core::mem::replace(&mut self.lap_begun, now));
        if took >= SLOW {
            reclaimed.slow.push(SlowUserCode { what, type_name, took });
        }
    }
}

/// Gives everything back: the space is gone and so are its objects.
fn destroy(memory: &Memory, spans: Vec<SpanRef>) {
    // SAFETY: the space is gone, so the heap belongs to its last batch.
    let heap = unsafe { &mut *memory.heap() };
    for span in spans {
        // SAFETY: every object is dropped, so what is left are empty mappings.
        unsafe { heap.put_back_for_destruction(span) };
    }
    for span in heap.take_retired() {
        // SAFETY: nobody can look at anything of the space any more.
        unsafe { unmap(span) };
    }
}

/// # Safety
///
/// The span is an empty mapping that nobody looks at any more.
unsafe fn unmap(span: SpanRef) {
    // SAFETY: the caller's promise.
    unsafe {
        let mapped = span.mapped_bytes();
        pool::unmap_object(NonNull::new_unchecked(span.base()), mapped);
    }
}

/// Runs user code; a panic becomes a message.
pub(crate) fn guarded(panics: &mut Vec<String>, f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        panics.push(panic_message(panic));
    }
}

/// What a panic said. The payload is dropped with care: its own drop may panic.
pub fn panic_message(panic: Box<dyn core::any::Any + Send>) -> String {
    let message = if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_string()
    };
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        core::mem::forget(again);
    }
    message
}

/// Work that waits for a thread that holds no space and runs no sweep.
struct Deferred {
    owner: Owner,
    /// Numbers grow in the order in which work is left.
    number: u64,
    /// Whose batch it is: whoever waits for that cycle may take the work over.
    ticket: Option<BatchTicket>,
    work: Box<dyn FnOnce() + Send>,
}

/// Who does deferred work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The thread that left it, when it may.
    Thread(ThreadId),
    /// Whoever drives the collector with this number.
    Driver(usize),
    /// Any thread that may: the one that left it has ended.
    Anybody,
}

/// Names the space that a batch belongs to, for those who wait for its drops. From [`Remains::ticket`].
pub struct BatchTicket {
    /// Whoever waits for the drops of the gate's space may do the work; none if it is not about drops.
    gate: Option<Arc<Gate>>,
    /// The number of the space that the work keeps, if it does: who destroys that one may do the work too.
    space: Option<u64>,
}

impl BatchTicket {
    /// Whether the work keeps the space of this number: by itself, or as its batch came with a merge.
    fn keeps(&self, space: u64) -> bool {
        let by_gate =
            |gate: &Arc<Gate>| gate.keeps(|kept: &CollectorHandle| kept.inner.id() == space);
        self.space == Some(space) || self.gate.as_ref().is_some_and(by_gate)
    }

    /// For work that keeps the space by a [`CollectorHandle`]: who destroys it takes
    /// the work over.
    #[must_use]
    pub fn keeping(self, space: &Space) -> BatchTicket {
        BatchTicket { space: Some(space.inner.id()), ..self }
    }
}

impl Space {
    /// Names the space, for work that keeps it and is none of a batch. For collectors.
    pub fn ticket(&self) -> BatchTicket {
        BatchTicket { gate: None, space: None }.keeping(self)
    }
}

/// What waits. Each list is in the order in which it was left, which is the one in which it is done.
struct Waiting {
    /// For threads and for anybody. Each end of an access looks here, and at nothing that waits for a driver.
    of_threads: VecDeque<Deferred>,
    /// For drivers, by their numbers; no list is empty. A driver may be stuck, and then a thousand wait for it.
    of_drivers: BTreeMap<usize, VecDeque<Deferred>>,
    /// The number of the last piece that was left.
    last: u64,
}

static DEFERRED: Mutex<Waiting> =
    Mutex::new(Waiting { of_threads: VecDeque::new(), of_drivers: BTreeMap::new(), last: 0 });
/// How many wait for threads and for anybody. Written with the mutex held; read without, by who looks whether to take that.
static THREADS_COUNT: AtomicUsize = AtomicUsize::new(0);
/// And for drivers.
static DRIVERS_COUNT: AtomicUsize = AtomicUsize::new(0);

impl Waiting {
    /// Makes the counts those of the lists.
    fn count(&self) {
        THREADS_COUNT.store(self.of_threads.len(), Relaxed);
        DRIVERS_COUNT.store(self.of_drivers.values().map(VecDeque::len).sum(), Relaxed);
    }

    fn push(&mut self, owner: Owner, ticket: Option<BatchTicket>, work: Box<dyn FnOnce() + Send>) {
        self.last += 1;
        let left = Deferred { owner, number: self.last, ticket, work };
        match owner {
            Owner::Driver(driver) => {
                self.of_drivers.entry(driver).or_default().push_back(left);
                DRIVERS_COUNT.fetch_add(1, Relaxed);
            }
            Owner::Thread(_) | Owner::Anybody => {
                self.of_threads.push_back(left);
                THREADS_COUNT.fetch_add(1, Relaxed);
            }
        }
    }

    /// The first that waits for a thread, or for anybody, and that the caller may take.
    fn take_of_threads(&mut self, may_take: impl Fn(&Deferred) -> bool) -> Option<Deferred> {
        let at = self.of_threads.iter().position(may_take)?;
        THREADS_COUNT.fetch_sub(1, Relaxed);
        self.of_threads.remove(at)
    }

    /// The first that waits for a driver, if its number is not beyond `last`.
    fn take_of_driver(&mut self, driver: usize, last: u64) -> Option<Deferred> {
        let waits = self.of_drivers.get_mut(&driver)?;
        let left = waits.front().is_some_and(|left| left.number <= last);
        let left = if left { waits.pop_front() } else { None };
        if waits.is_empty() {
            self.of_drivers.remove(&driver);
        }
        DRIVERS_COUNT.fetch_sub(usize::from(left.is_some()), Relaxed);
        left
    }

    /// The first that the caller may take, whomever it waits for.
    fn take(&mut self, may_take: impl Fn(&Deferred) -> bool) -> Option<Deferred> {
        let all = self.of_drivers.values().chain([&self.of_threads]);
        let first = all.filter_map(|list| list.iter().find(|left| may_take(left)));
        let first = first.min_by_key(|left| left.number)?;
        let (owner, number) = (first.owner, first.number);
        let Owner::Driver(driver) = owner else {
            return self.take_of_threads(|left| left.number == number);
        };
        let waits = self.of_drivers.get_mut(&driver)?;
        let left =
            waits.iter().position(|left| left.number == number).and_then(|at| waits.remove(at));
        if waits.is_empty() {
            self.of_drivers.remove(&driver);
        }
        DRIVERS_COUNT.fetch_sub(1, Relaxed);
        left
    }
}

/// Leaves work for this thread, until it holds no space and runs no sweep (B2).
///
/// Not for any other that somebody may wait for: the work may want what this thread holds, while this thread waits for that
/// one. Only a thread that waits for the drops of that space, by the ticket, takes it over; and the reaper once this
/// thread has ended, or if it may never come by.
pub fn defer(ticket: Option<BatchTicket>, work: Box<dyn FnOnce() + Send>) {
    DEFERRED.lock().push(this_thread(), ticket, work);
}

/// The owner of what this thread leaves. At its very end that is anybody: it will not come by again.
fn this_thread() -> Owner {
    if held::is_ending() {
        return Owner::Anybody;
    }
    Owner::Thread(thread::current().id())
}

/// Leaves a batch for whoever drives a collector, which is named by a number of its own; it is done by
/// [`run_deferred_of_driver`], or by a thread that waits for the batch: the driver may be one that waits itself.
pub fn defer_to_driver(driver: usize, ticket: Option<BatchTicket>, work: Box<dyn FnOnce() + Send>) {
    DEFERRED.lock().push(Owner::Driver(driver), ticket, work);
}

/// Whether there is work that [`run_deferred`] would run on this thread.
pub fn has_deferred() -> bool {
    if THREADS_COUNT.load(Relaxed) == 0 {
        return false;
    }
    let this = Owner::Thread(thread::current().id());
    DEFERRED.lock().of_threads.iter().any(|left| left.owner == this || left.owner == Owner::Anybody)
}

/// Whether there is work for whoever drives the collector.
pub fn has_deferred_of_driver(driver: usize) -> bool {
    deferred_count_of_driver(driver) > 0
}

/// How many pieces of work wait for whoever drives the collector.
pub fn deferred_count_of_driver(driver: usize) -> usize {
    if DRIVERS_COUNT.load(Relaxed) == 0 {
        return 0;
    }
    DEFERRED.lock().of_drivers.get(&driver).map_or(0, VecDeque::len)
}

/// What was left so far, by anybody: for [`run_deferred_of_driver`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeftUntil(u64);

impl LeftUntil {
    /// Until now.
    pub fn now() -> LeftUntil {
        LeftUntil(DEFERRED.lock().last)
    }
}

/// Leaves what was left for a driver, which there is no more, for this thread.
pub fn take_over_from_driver(driver: usize) {
    let mut waiting = DEFERRED.lock();
    let Some(taken) = waiting.of_drivers.remove(&driver) else { return };
    let this = this_thread();
    waiting.of_threads.extend(taken.into_iter().map(|left| Deferred { owner: this, ..left }));
    // Among what waited there already.
    waiting.of_threads.make_contiguous().sort_by_key(|left| left.number);
    waiting.count();
}

/// Leaves what this thread left for any other: it ends.
pub(crate) fn orphan_deferred() {
    if THREADS_COUNT.load(Relaxed) == 0 {
        return;
    }
    let Ok(this) = catch_unwind(|| thread::current().id()) else { return };
    leave_to_anybody(this);
    call_reaper();
}

/// Leaves what this thread left to a thread that nobody waits for: this one may never be where it can do it itself, as it
/// charges memory and enters no space, or as it is a [`Bystander`](crate::held::Bystander). For collectors.
pub fn leave_to_reaper() {
    if THREADS_COUNT.load(Relaxed) == 0 {
        return;
    }
    if let Owner::Thread(this) = this_thread() {
        leave_to_anybody(this);
    }
    call_reaper();
}

/// Whether the reaper runs. Written with the lists' mutex held.
static HAS_REAPER: AtomicBool = AtomicBool::new(false);

/// Starts a thread that does what is left for anybody, and ends. If there is none to be had, the next thread that comes
/// by does it.
fn call_reaper() {
    let waiting = DEFERRED.lock();
    let is_needed = waiting.of_threads.iter().any(|left| left.owner == Owner::Anybody);
    if !is_needed || HAS_REAPER.swap(true, Relaxed) {
        return;
    }
    drop(waiting);
    // At a thread's very end the standard library may refuse by a panic.
    let spawned = catch_unwind(|| thread::Builder::new().name("gc reaper".into()).spawn(reap));
    if !matches!(spawned, Ok(Ok(_))) {
        HAS_REAPER.store(false, Relaxed);
    }
}

fn reap() {
    loop {
        run_deferred_slow(|waiting| waiting.take_of_threads(|left| left.owner == Owner::Anybody));
        if !Batch::can_reclaim() {
            // What ran has leaked a guard. The next one is a new thread.
            HAS_REAPER.store(false, Relaxed);
            return call_reaper();
        }
        let waiting = DEFERRED.lock();
        // What is left from here on finds no reaper.
        if !waiting.of_threads.iter().any(|left| left.owner == Owner::Anybody) {
            HAS_REAPER.store(false, Relaxed);
            return;
        }
    }
}

fn leave_to_anybody(thread: ThreadId) {
    for left in &mut DEFERRED.lock().of_threads {
        if left.owner == Owner::Thread(thread) {
            left.owner = Owner::Anybody;
        }
    }
}

/// Runs work that this thread left, if there is any and it may now.
#[inline]
pub fn run_deferred() {
    if THREADS_COUNT.load(Relaxed) > 0 && Batch::can_reclaim() {
        let this = Owner::Thread(thread::current().id());
        run_deferred_slow(|waiting| {
            waiting.take_of_threads(|left| left.owner == this || left.owner == Owner::Anybody)
        });
    }
}

/// Runs what was left for whoever drives the collector until then, and not what comes meanwhile; whether there was anything.
pub fn run_deferred_of_driver(driver: usize, until: LeftUntil) -> bool {
    DRIVERS_COUNT.load(Relaxed) > 0
        && Batch::can_reclaim()
        && run_deferred_slow(|waiting| waiting.take_of_driver(driver, until.0))
}

/// Whether anything waits for anybody at all.
fn is_any_deferred() -> bool {
    THREADS_COUNT.load(Relaxed) > 0 || DRIVERS_COUNT.load(Relaxed) > 0
}

/// Does what remains of the batches of a gate, whomever it was left for. By a thread that waits for it.
pub(crate) fn run_deferred_of_gate(gate: &Arc<Gate>) {
    if is_any_deferred() && Batch::can_reclaim() {
        run_deferred_slow(|waiting| {
            waiting.take(|left| {
                let of = left.ticket.as_ref().and_then(|ticket| ticket.gate.as_ref());
                of.is_some_and(|of| of.leads_to(gate))
            })
        });
    }
}

/// Does what keeps a space, whomever it was left for, and what this thread left. By a thread that waits
/// until nothing keeps the space.
pub(crate) fn run_deferred_of_space(space: u64) {
    run_deferred();
    if is_any_deferred() && Batch::can_reclaim() {
        run_deferred_slow(|waiting| {
            waiting.take(|left| left.ticket.as_ref().is_some_and(|ticket| ticket.keeps(space)))
        });
    }
}

#[cold]
fn run_deferred_slow(take: impl Fn(&mut Waiting) -> Option<Deferred>) -> bool {
    let mut any = false;
    // Looked at each time: what ran before may have leaked a guard.
    while Batch::can_reclaim() {
        let Some(left) = take(&mut DEFERRED.lock()) else { break };
        any = true;
        pieces::begin_rest();
        (left.work)();
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    type Said = Arc<Mutex<Vec<u32>>>;

    fn says(said: &Said, word: u32) -> Box<dyn FnOnce() + Send> {
        let said = Arc::clone(said);
        Box::new(move || said.lock().push(word))
    }

    /// A number that no driver has: the address of what is alive.
    fn driver(said: &Said) -> usize {
        Arc::as_ptr(said).addr()
    }

    #[test]
    fn a_driver_runs_in_order_what_was_left_for_it_until_then() {
        let said = Said::default();
        let driver = driver(&said);
        defer_to_driver(driver, None, says(&said, 1));
        defer_to_driver(driver, None, says(&said, 2));
        let until = LeftUntil::now();
        let later = says(&said, 3);
        defer_to_driver(driver, None, Box::new(move || defer_to_driver(driver, None, later)));
        run_deferred();
        assert!(said.lock().is_empty());
        assert_eq!(deferred_count_of_driver(driver), 3);
        assert!(run_deferred_of_driver(driver, until));
        assert_eq!(*said.lock(), [1, 2]);
        assert!(run_deferred_of_driver(driver, LeftUntil::now()));
        assert_eq!((said.lock().len(), deferred_count_of_driver(driver)), (2, 1));
        assert!(run_deferred_of_driver(driver, LeftUntil::now()));
        assert!(!run_deferred_of_driver(driver, LeftUntil::now()));
        assert_eq!(*said.lock(), [1, 2, 3]);
    }

    #[test]
    fn what_is_taken_over_from_a_driver_is_done_in_the_order_in_which_all_was_left() {
        let said = Said::default();
        let driver = driver(&said);
        defer(None, says(&said, 1));
        defer_to_driver(driver, None, says(&said, 2));
        defer(None, says(&said, 3));
        defer_to_driver(driver, None, says(&said, 4));
        take_over_from_driver(driver);
        assert!(has_deferred() && !has_deferred_of_driver(driver));
        run_deferred();
        assert_eq!(*said.lock(), [1, 2, 3, 4]);
    }

    #[test]
    fn who_waits_for_drops_takes_them_in_order_whomever_they_were_left_for() {
        let said = Said::default();
        let driver = driver(&said);
        let space = Space::builder().build().unwrap();
        let gate = Arc::clone(&space.inner.current_home().gate);
        let ticket = || Some(BatchTicket { gate: Some(Arc::clone(&gate)), space: None });
        defer_to_driver(driver, ticket(), says(&said, 1));
        defer(ticket(), says(&said, 2));
        defer_to_driver(driver, None, says(&said, 4));
        defer_to_driver(driver, ticket(), says(&said, 3));
        run_deferred_of_gate(&gate);
        assert_eq!(*said.lock(), [1, 2, 3]);
        run_deferred_of_driver(driver, LeftUntil::now());
        assert_eq!(*said.lock(), [1, 2, 3, 4]);
    }
}
