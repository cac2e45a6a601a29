//! Merging: all objects of one space become another's (ceda's `TransferCSpace`).
//!
//! Both spaces are held exclusively, so neither is in a mark or a finish; a sweep of either goes on and is not
//! waited for. What moves are lists and counts: spans, roots, owned values and cleaners as the lists that they are in
//! (`pile.rs`), handles by the number of their home (`home.rs`), charges by their books, the batch that is out by its
//! gate. Nothing is done for each object, block or root, and nothing stays of a merge but numbers, until the next cycle.
//! The source goes on with a fresh home and an empty heap.
//!
//! All that can fail comes first. Then the merge is done in one go: a panic half-way would lose objects.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use crate::error::TransferError;
use crate::held;
use crate::home::{belongs_to, Home};
use crate::no_unwind::no_unwind;
use crate::space::lock::{Hold, Service};
use crate::space::{Space, SpaceInner, Wait};

/// What a merge came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Objects that moved, those that are unreachable but not yet collected included.
    pub objects: usize,
    /// Bytes of objects that moved, as far as they are known before a sweep.
    pub bytes: usize,
    /// Whether a sweep of the source was under way, whose objects are the target's now.
    pub sweep_under_way: bool,
}

impl Space {
    /// Moves all objects of `source` into this space (ceda's `TransferCSpace`).
    ///
    /// Every [`GcRoot`](crate::GcRoot), [`OwnedRoot`](crate::OwnedRoot), weak reference and root of
    /// `add_gc_root` of the source belongs to this space afterwards, and so do the counts of bytes and
    /// objects and the statistics. The source is empty and usable. What is the space's rather than its
    /// objects' stays with each: name, settings, callbacks, the number of completed collections.
    ///
    /// Waits for both locks, and so for a mark, but neither for a sweep nor for drops. The cost, a few microseconds,
    /// depends on neither objects nor blocks nor roots, nor on earlier merges: spaces can be merged by the million, one
    /// for each request into a server's, or to and fro.
    ///
    /// What moves takes the memory that it took. A small space has pieces of 256 bytes for each type of which it made
    /// objects, so an object that is the only one of its type in its request keeps 256 bytes, or its own size rounded up to
    /// a multiple of that; the rest of the piece is there for objects of that type that this space makes after its next
    /// collection. Pieces without objects are free then. Collections come sooner for memory that is mostly empty; limits
    /// count objects, not pieces.
    ///
    /// Evicted objects of the source whose callback was not called yet have it called by the thread that runs this
    /// space's collections, or at the end of the next exclusive access if there is none.
    ///
    /// ```
    /// use cspace_core::Space;
    ///
    /// let (request, server) = (Space::builder().build()?, Space::builder().build()?);
    /// let answer = request.exclusive(|cx| cx.root(cx.alloc(42u64)));
    /// let report = server.transfer_from(&request)?;
    /// assert_eq!(report.objects, 1);
    /// assert_eq!(server.shared(|cx| *answer.get(cx)), 42);
    /// assert_eq!(request.num_objects(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If both are one space, if this thread holds a space, if a space is poisoned or its lock leaked, or if
    /// this space would pass its `max_heap_bytes`. Nothing is changed then.
    pub fn transfer_from(&self, source: &Space) -> Result<TransferReport, TransferError> {
        self.try_transfer_from_within(source, Wait::Forever)
    }

    /// As [`transfer_from`](Space::transfer_from), without waiting for the locks.
    ///
    /// # Errors
    ///
    /// As [`transfer_from`](Space::transfer_from), and if another thread holds one of the spaces.
    pub fn try_transfer_from(&self, source: &Space) -> Result<TransferReport, TransferError> {
        self.try_transfer_from_within(source, Wait::No)
    }

    /// As [`transfer_from`](Space::transfer_from), waiting for each of the two locks as `wait` says.
    ///
    /// ```
    /// use cspace_core::{Space, Wait};
    /// use std::time::Duration;
    ///
    /// let (request, server) = (Space::builder().build()?, Space::builder().build()?);
    /// let answer = request.exclusive(|cx| cx.root(cx.alloc(42u64)));
    /// server.try_transfer_from_within(&request, Wait::For(Duration::from_secs(1)))?;
    /// assert_eq!(server.shared(|cx| *answer.get(cx)), 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`transfer_from`](Space::transfer_from), and if a lock cannot be had in that time.
    pub fn try_transfer_from_within(
        &self,
        source: &Space,
        wait: Wait,
    ) -> Result<TransferReport, TransferError> {
        transfer(&source.inner, self, wait)
    }
}

fn transfer(
    source: &Arc<SpaceInner>,
    target: &Space,
    wait: Wait,
) -> Result<TransferReport, TransferError> {
    let (from, into) = (&**source, &*target.inner);
    if from.id() == into.id() {
        return Err(TransferError::SameSpace { space: from.name() });
    }
    if held::count() > 0 {
        return Err(TransferError::HoldsSpace);
    }
    // The older one first, as everywhere.
    let (first, second) = if from.id() < into.id() { (from, into) } else { (into, from) };
    let _first = Hold::<_, Service>::acquire(first, wait)?;
    let _second = Hold::<_, Service>::acquire(second, wait)?;
    let (bytes, own) = (from.counters().allocated(), into.counters().allocated());
    let limit = into.heap_bytes_max();
    let needed = bytes.saturating_add(own);
    if bytes > 0 && needed > limit {
        return Err(TransferError::HeapFull { space: into.name(), needed, limit });
    }
    // SAFETY: this thread holds both.
    let (source_ledger, ledger) = unsafe { (&from.home().ledger, &into.home().ledger) };
    let bytes = source_ledger.bytes();
    if let (Some(limit), 1..) = (ledger.limit(), bytes) {
        let needed = bytes.saturating_add(ledger.bytes());
        if needed > limit {
            return Err(TransferError::MemoryFull { space: into.name(), needed, limit });
        }
    }
    // What can fail, and what makes room.
    let fresh = Home::new(&from.memory().counters, source_ledger.fresh());
    // SAFETY: this thread holds both spaces exclusively, and has no other reference into them; the mutators'
    // heaps are between accesses.
    let (home, own) = unsafe { (Arc::clone(from.home()), Arc::clone(into.home())) };
    // SAFETY: as above.
    unsafe {
        into.root_set().prepare(from.root_set());
        into.eviction().prepare(from.eviction());
        into.counters().cleanups.prepare(&from.counters().cleanups);
    }
    // Ended here, where their drops may take long: their marks are of two graphs.
    // SAFETY: as above (I1).
    drop(unsafe { (from.incremental().take(), into.incremental().take()) });
    let number = into.handles().prepare(from.handles(), own.id(), home.id());
    let report = no_unwind("a merge of spaces", || {
        // SAFETY: as above.
        unsafe {
            let mut given_up = (*from.heap()).give_up();
            (*into.heap()).prepare_adoption(&mut given_up);
            (*into.heap()).adopt(given_up);
        }
        let (mut report, mut ledger) = (TransferReport::default(), None);
        home.gate.move_into(
            &own.gate,
            || {
                report.sweep_under_way = true;
                target.collector_handle()
            },
            |from, into| {
                (report.objects, report.bytes) = (from.objects.load(Relaxed), from.allocated());
                // With the books, so that nobody finds these without those.
                ledger = Some(home.ledger.join(&own.ledger, || from.move_into(into)));
            },
        );
        let ledger = ledger.expect("a gate settles once");
        let renamed = own.renamed(number, ledger);
        into.handles().absorb(from.handles());
        // SAFETY: as above.
        unsafe {
            (*from.heap()).set_home(&fresh);
            (*into.heap()).set_home(&renamed);
            belongs_to([home.id(), own.id()], &renamed, &into.counters().changes);
            from.changes().set_home(fresh.id());
            from.replace_home(fresh);
            into.replace_home(renamed);
            into.root_set().absorb(from.root_set());
        }
        into.eviction().absorb(from.eviction());
        let stats = core::mem::take(&mut *from.stats.lock());
        into.stats.lock().add(&stats);
        report
    });
    // These may tell the collectors.
    from.adjust_budget();
    into.adjust_budget();
    if report.objects > 0 {
        // Some of what came may be dead.
        into.changes().note_and_wake();
    }
    // SAFETY: this thread holds both.
    unsafe { into.home() }.ledger.tell_of_merge();
    into.tell_of_evicted();
    Ok(report)
}
