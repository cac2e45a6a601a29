//! A condemned batch, and reclaiming it with nothing locked.
//!
//! A finish detaches all of the space's spans, the entries of weak sets that are to be filtered, and
//! the contents of owned roots that nobody holds any more. The batch owns them: the mutator goes on
//! with new spans. Reclaiming filters the weak sets, runs the cleaners of what is dead (`cleaner.rs`), then
//! drops what is dead and not marked, span by span, and hands the spans back. The last batch of a space also owns the values of its slots
//! (`ptr_slot.rs`), which are dropped after the objects.
//!
//! - **B1 (dead).** A cell of the batch whose allocation bit is set and whose mark bit is not holds an
//!   object that nobody can reach: weak references to it are cleared, weak sets do not show it.
//! - **B2 (bare).** The thread that reclaims holds no space and is in no other sweep, so drops may do
//!   anything: enter a space, allocate, lock others, drop the last handle of a space, panic.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use parking_lot::Mutex;

use crate::chunk::{block_of, SpanKind, SpanRef, BLOCK, GRANULE};
use crate::claim::CycleClaim;
use crate::cleaner::{self, Cleanup};
use crate::heap::Counters;
use crate::held;
use crate::home::{Gate, Home};
use crate::hooks::Hooks;
use crate::memory::Memory;
use crate::owned_root::DroppedCell;
use crate::pool;
use crate::ptr_slot::SlotValue;
use crate::weak_set::Filter;

/// What freed memory is overwritten with under `poison_freed`.
const POISON: u8 = 0xDB;
/// Spans handed back at a time.
const HAND_BACK: usize = 64;

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
    /// Whether everything was reclaimed.
    pub(crate) done: bool,
}

/// What a batch has to do.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) filters: Vec<Arc<Filter>>,
    pub(crate) cleanups: Vec<Cleanup>,
    pub(crate) dropped: Vec<DroppedCell>,
    pub(crate) spans: Vec<SpanRef>,
    /// Of the last batch of a space.
    pub(crate) slot_values: Vec<SlotValue>,
    /// Emptied by the sweep before: nobody can look at them any more.
    pub(crate) mappings: Vec<SpanRef>,
    /// Bytes of spans that were given back to the pool and not counted yet.
    pub(crate) freed: usize,
    /// Of the objects that stay, those of types that do not change.
    pub(crate) frozen_live: usize,
    /// And those of types that may change unseen (I3).
    pub(crate) unseen_live: usize,
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
}

impl Batch {
    /// Whether this thread may reclaim now (B2). If not, [`defer`] it.
    pub fn can_reclaim() -> bool {
        held::count() == 0 && !held::is_sweeping()
    }

    /// Names the batch's cycle for those who wait for it.
    pub fn ticket(&self) -> BatchTicket {
        BatchTicket(Arc::clone(&self.home.gate))
    }

    /// Reclaims the batch, and gives up the claim on its cycle.
    ///
    /// # Errors
    ///
    /// Gives the batch back if this thread may not ([`can_reclaim`](Batch::can_reclaim)). Dropped then, it
    /// leaves itself for a thread that may.
    pub fn reclaim(self) -> Result<Reclaimed, Batch> {
        self.reclaim_then(|_| ())
    }

    /// As [`reclaim`](Batch::reclaim), and calls `note` before the claim is given up: who waits for the cycle sees
    /// what was noted.
    ///
    /// # Errors
    ///
    /// As [`reclaim`](Batch::reclaim).
    // moved once a cycle, and given back whole is what it is for
    pub fn reclaim_then(mut self, note: impl FnOnce(&Reclaimed)) -> Result<Reclaimed, Batch> {
        if !Batch::can_reclaim() {
            return Err(self);
        }
        let _sweeping = held::Sweeping::begin();
        let mut reclaimed = Reclaimed::default();
        // First of all: the mark bits that weak sets go by are those of objects that are freed in what follows.
        for filter in self.work.filters.drain(..) {
            filter.run();
        }
        // By the marks too.
        let cleanups = core::mem::take(&mut self.work.cleanups);
        reclaimed.cleaners_run = cleaner::run(&self.home, cleanups, &mut reclaimed.cleaner_panics);
        for cell in self.work.dropped.drain(..) {
            guarded(&mut reclaimed.drop_panics, || drop(cell));
        }
        let mut swept = Vec::with_capacity(HAND_BACK);
        for span in core::mem::take(&mut self.work.spans) {
            // SAFETY: the batch owns its spans (H4).
            unsafe { self.sweep(span, &mut reclaimed, &mut swept) };
            if swept.len() == HAND_BACK && self.last.is_none() {
                let swept = core::mem::replace(&mut swept, Vec::with_capacity(HAND_BACK));
                let freed = core::mem::take(&mut self.work.freed);
                self.hand_back(swept, freed, |_| ());
            }
        }
        for value in self.work.slot_values.drain(..) {
            guarded(&mut reclaimed.drop_panics, || drop(value));
        }
        for span in core::mem::take(&mut self.work.mappings) {
            // SAFETY: swept and empty since the cycle before; its finish ended every access that could
            // have looked at it.
            unsafe { unmap(span) };
        }
        if let Some(memory) = self.last.take() {
            destroy(&memory, swept);
        } else {
            let (frozen, unseen) = (self.work.frozen_live, self.work.unseen_live);
            let (all, bytes) = (reclaimed.objects_live, reclaimed.bytes_live);
            // Other batches may have been counted beside this one, if spaces were merged: a difference.
            let freed = core::mem::take(&mut self.work.freed);
            self.hand_back(swept, freed, |counters| {
                counters.live.fetch_add(bytes.wrapping_sub(self.live_estimate), Relaxed);
                counters.old.count([frozen, all - frozen, unseen], bytes);
            });
        }
        pool::trim();
        self.done = true;
        note(&reclaimed);
        drop(self.claim.take());
        Ok(reclaimed)
    }

    /// Hands spans back to the space that they belong to now, which need not be that of the finish.
    fn hand_back(&self, swept: Vec<SpanRef>, freed: usize, count: impl FnOnce(&Counters)) {
        self.home.gate.put(swept, |counters| {
            counters.committed.fetch_sub(freed, Relaxed);
            count(counters);
        });
    }

    /// # Safety
    ///
    /// The batch owns the span (H4).
    unsafe fn sweep(&mut self, span: SpanRef, reclaimed: &mut Reclaimed, swept: &mut Vec<SpanRef>) {
        // SAFETY: the caller's promise, for all of them.
        let (marks, allocs, info, cell_bytes, kind, base) = unsafe {
            let (marks, allocs) = span.words();
            let record = span.record();
            (marks, allocs, span.info(), record.cell_bytes, record.kind, span.base())
        };
        let is_visited = info.drop.is_some() || info.hooks.is_some() || self.poison_freed;
        let mut live = 0;
        for (word, (mark, alloc)) in marks.iter().zip(allocs).enumerate() {
            let (marked, allocated) = (mark.load(Relaxed), alloc.load(Relaxed));
            debug_assert_eq!(marked & !allocated, 0, "a marked cell that is not allocated");
            let mut dead = allocated & !marked;
            reclaimed.objects_reclaimed += dead.count_ones() as usize;
            live += marked.count_ones() as usize;
            // The bits say dead before a drop runs: whatever it does, it runs once.
            if dead != 0 {
                alloc.store(marked, Relaxed);
            }
            while dead != 0 && is_visited {
                let granule = word * 64 + dead.trailing_zeros() as usize;
                dead &= dead - 1;
                let cell = base.wrapping_add(granule * GRANULE);
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
                if self.poison_freed {
                    // SAFETY: the cell is the batch's, and holds nothing any more.
                    unsafe { core::ptr::write_bytes(cell, POISON, cell_bytes) };
                }
            }
        }
        reclaimed.objects_live += live;
        if !info.may_change {
            self.work.frozen_live += live;
        }
        if info.changes_unseen {
            self.work.unseen_live += live;
        }
        reclaimed.bytes_live += live * cell_bytes;
        // SAFETY: the caller's promise. Blocks of merged spaces go by their new home from here on (M2); the
        // first block of a span is the one that its objects begin in.
        unsafe {
            span.record().live_count = live as u32;
            (*block_of(base)).home.store(self.home.id(), Relaxed);
        }
        if live > 0 || kind == SpanKind::Page {
            return swept.push(span);
        }
        // SAFETY: nothing of the span is alive, its bits are zero, and it is the batch's.
        unsafe {
            let bytes = span.bytes();
            self.work.freed += bytes;
            match kind {
                SpanKind::Mapping => {
                    pool::decommit_object(NonNull::new_unchecked(base), bytes);
                    swept.push(span);
                }
                _ => {
                    span.unmake();
                    pool::give_back_blocks(NonNull::new_unchecked(base), bytes / BLOCK);
                }
            }
        }
    }
}

/// Gives everything back: the space is gone and so are its objects.
fn destroy(memory: &Memory, spans: Vec<SpanRef>) {
    // SAFETY: the space is gone, so the heap belongs to its last batch.
    let heap = unsafe { &mut *memory.heap() };
    for span in spans {
        // SAFETY: every object is dropped, so what is left are empty page spans and mappings.
        unsafe { heap.put_back_for_destruction(span) };
    }
    heap.release_starters();
    for span in heap.take_retired() {
        // SAFETY: nobody can look at anything of the space any more.
        unsafe { unmap(span) };
    }
}

impl Drop for Batch {
    /// A batch that was not reclaimed would leave mark bits set: it waits for a thread that may reclaim.
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
        let ticket = batch.claim.is_some().then(|| batch.ticket());
        defer(ticket, Box::new(move || drop(batch.reclaim())));
    }
}

/// # Safety
///
/// The span is an empty mapping that nobody looks at any more.
unsafe fn unmap(span: SpanRef) {
    // SAFETY: the caller's promise.
    unsafe {
        let mapped = span.record().mapped_bytes;
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

/// Names the cycle that a batch belongs to, for those who wait for it. From [`Batch::ticket`].
pub struct BatchTicket(Arc<Gate>);

static DEFERRED: Mutex<Vec<Deferred>> = Mutex::new(Vec::new());
static DEFERRED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Leaves work for this thread, until it holds no space and runs no sweep (B2).
///
/// Not for any other: the work may want what this thread holds, while this thread waits for that one. Only a
/// thread that has to wait for the batch anyway, by the ticket, takes it over, and any may once this thread
/// has ended.
pub fn defer(ticket: Option<BatchTicket>, work: Box<dyn FnOnce() + Send>) {
    push_deferred(this_thread(), ticket, work);
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
pub fn defer_to_driver(driver: usize, ticket: BatchTicket, work: Box<dyn FnOnce() + Send>) {
    push_deferred(Owner::Driver(driver), Some(ticket), work);
}

fn push_deferred(owner: Owner, ticket: Option<BatchTicket>, work: Box<dyn FnOnce() + Send>) {
    let mut deferred = DEFERRED.lock();
    deferred.push(Deferred { owner, ticket, work });
    DEFERRED_COUNT.store(deferred.len(), Relaxed);
}

/// Whether there is work for whoever drives the collector.
pub fn has_deferred_of_driver(driver: usize) -> bool {
    DEFERRED_COUNT.load(Relaxed) > 0
        && DEFERRED.lock().iter().any(|deferred| deferred.owner == Owner::Driver(driver))
}

/// Leaves what was left for a driver, which there is no more, for this thread.
pub fn take_over_from_driver(driver: usize) {
    change_owner(Owner::Driver(driver), this_thread());
}

/// Leaves what this thread left for any other: it ends.
pub(crate) fn orphan_deferred() {
    if DEFERRED_COUNT.load(Relaxed) == 0 {
        return;
    }
    let Ok(this) = catch_unwind(|| thread::current().id()) else { return };
    change_owner(Owner::Thread(this), Owner::Anybody);
}

fn change_owner(from: Owner, to: Owner) {
    for deferred in &mut *DEFERRED.lock() {
        if deferred.owner == from {
            deferred.owner = to;
        }
    }
}

/// Runs work that this thread left, if there is any and it may now.
#[inline]
pub fn run_deferred() {
    if DEFERRED_COUNT.load(Relaxed) > 0 && Batch::can_reclaim() {
        let this = Owner::Thread(thread::current().id());
        run_deferred_slow(|left| left.owner == this || left.owner == Owner::Anybody);
    }
}

/// Runs what was left for whoever drives the collector; whether there was anything.
pub fn run_deferred_of_driver(driver: usize) -> bool {
    DEFERRED_COUNT.load(Relaxed) > 0
        && Batch::can_reclaim()
        && run_deferred_slow(|left| left.owner == Owner::Driver(driver))
}

/// Does the batches that a gate waits for, whomever they were left for. By a thread that waits at the gate.
pub(crate) fn run_deferred_of_gate(gate: &Arc<Gate>) {
    if DEFERRED_COUNT.load(Relaxed) > 0 && Batch::can_reclaim() {
        run_deferred_slow(|left| {
            left.ticket.as_ref().is_some_and(|ticket| ticket.0.leads_to(gate))
        });
    }
}

#[cold]
fn run_deferred_slow(may_take: impl Fn(&Deferred) -> bool) -> bool {
    let mut any = false;
    // Looked at each time: what ran before may have leaked a guard.
    while Batch::can_reclaim() {
        let next = {
            let mut deferred = DEFERRED.lock();
            let at = deferred.iter().rposition(&may_take);
            let next = at.map(|at| deferred.swap_remove(at));
            DEFERRED_COUNT.store(deferred.len(), Relaxed);
            next
        };
        let Some(deferred) = next else { break };
        any = true;
        (deferred.work)();
    }
    any
}
