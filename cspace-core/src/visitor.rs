//! The visitor: what `visit_objects` shows its handles to.
//!
//! While marking it is the gray set. An edge first enters a ring of [`EDGE_RING`] entries with the
//! object's mark word prefetched; when it leaves the ring the bit is tested and set, and an object
//! seen for the first time goes onto the mark stack; popped from there its memory is prefetched and
//! it enters a second ring ([`OBJECT_RING`]), which it leaves to be traced. On graphs whose order
//! in memory is not that of their edges the two prefetches hide most of the cache misses.
//!
//! - **V1 (gray).** An object whose mark bit is set has been traced, or is on the stack, or waits for room there (V3,
//!   `visitor/mark_stack.rs`), or is in the second ring; a target seen but not marked is in the first ring.
//!   In a minor cycle it may also be old, of a type that does not change: then what it shows is marked, as it
//!   was in the cycle before (K1). After increments it may have been changed since it was traced (I3).
//! - **V2 (frozen).** While a visitor marks, nobody changes the graph: the space is held by the
//!   collector's upgradable or exclusive lock.
//!
//! While an entry of an ephemeron map waits for its key, the marker *watches*: what is newly marked wakes the
//! entries that wait for it (`ephemeron.rs`, J3).
//!
//! All that a visitor gathers is in lists that may fail to grow. What cannot be done without fails the cycle
//! ([`Visitor::fail`]), which is given up before it changes anything; for the rest there are ways to do with less.
//!
//! A visitor can record edges instead, for [`verify`](crate::Space), and between two increments (I3): then nothing is
//! marked.

mod mark_stack;
#[cfg(test)]
mod tests;

use core::marker::PhantomData;
use core::sync::atomic::Ordering::Relaxed;

use crate::chunk::{info_of, mark_address, mark_word, page_info_address, set_mark};
use crate::ephemeron::Ephemerons;
use crate::eviction::CellRef;
use crate::gc::Gc;
use crate::heap::Heap;
use crate::list::try_push;
use crate::nesting::Nesting;
use crate::object::IObject;
use crate::type_info::TypeInfo;
use crate::weak::WeakCell;
use crate::weak_set::FlipWeakSet;
use mark_stack::{MarkStack, SPARE};

/// Edges in flight between being seen and being marked. A power of two.
const EDGE_RING: usize = 8;
/// Objects in flight between the stack and being traced. A power of two.
const OBJECT_RING: usize = 32;
const _: () = assert!(OBJECT_RING < SPARE);
/// Edges that are noted between two increments before they are marked.
const NOTED_MAX: usize = 1 << 12;
/// Set in an edge's address (objects are 16-byte aligned): the target is a leaf.
const LEAF: usize = 1;
/// The target may be one: its type is not known by the edge.
const ANY: usize = 2;
const TAGS: usize = LEAF | ANY;

/// Work for the finish: a place that was visited, and what to do there.
pub(crate) type FinishWork = (*const (), unsafe fn(*const ()));

/// What a visitor does with the edges that it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It marks.
    Marking,
    /// It marks, and looks each object that it marks up among the keys that entries wait for.
    Watching,
    /// It records the edges.
    Recording,
    /// It counts bytes alone.
    Measuring,
}

/// What [`IObject::visit_objects`] shows its handles to.
///
/// Only the collector makes one. A hand-written implementation of `IObject` calls
/// `visit_objects` of each part that is an object, and [`report_bytes`](Visitor::report_bytes) for
/// memory that it owns outside of the heap.
pub struct Visitor<'v> {
    edges: [*const u8; EDGE_RING],
    edge_next: usize,
    /// Edges in the ring: those before `edge_next`, one behind the other.
    edge_count: usize,
    mode: Mode,
    recorded: Vec<*const u8>,
    stack: MarkStack,
    /// Owners that the visit is in (`nesting.rs`).
    pub(crate) nesting: Nesting<Self>,
    /// There was no memory for something that cannot be done without.
    has_failed: bool,
    marked_count: usize,
    external_bytes: usize,
    /// Weak cells that were reached and whose target was not marked then.
    pub(crate) weak_cells: Vec<*const WeakCell>,
    /// Whether there was no memory to list some: then the finish looks for them in the heap.
    pub(crate) has_unlisted_weak_cells: bool,
    pub(crate) weak_sets: Vec<FlipWeakSet>,
    /// Evict cells that were reached and not chosen before, until the choice takes them.
    pub(crate) evict_cells: Vec<CellRef>,
    pub(crate) ephemerons: Ephemerons,
    /// Work for the finish: a place, and what to do there.
    pub(crate) at_finish: Vec<FinishWork>,
    scope: PhantomData<&'v mut ()>,
}

impl Visitor<'_> {
    /// A visitor that marks, once it [has a stack](Visitor::begin).
    pub(crate) fn marking() -> Self {
        Visitor {
            edges: [core::ptr::null(); EDGE_RING],
            edge_next: 0,
            edge_count: 0,
            mode: Mode::Marking,
            recorded: Vec::new(),
            stack: MarkStack::new(),
            nesting: Nesting::new(),
            has_failed: false,
            marked_count: 0,
            external_bytes: 0,
            weak_cells: Vec::new(),
            has_unlisted_weak_cells: false,
            weak_sets: Vec::new(),
            evict_cells: Vec::new(),
            ephemerons: Ephemerons::new(),
            at_finish: Vec::new(),
            scope: PhantomData,
        }
    }

    /// A visitor that records the edges it is shown and marks nothing.
    pub(crate) fn recording() -> Self {
        Visitor { mode: Mode::Recording, ..Visitor::marking() }
    }

    /// A visitor that looks at no edge, and counts the bytes that it is told of.
    pub(crate) fn measuring() -> Self {
        Visitor { mode: Mode::Measuring, ..Visitor::marking() }
    }

    /// Gets memory for the stack; false if there is none.
    pub(crate) fn begin(&mut self, stress: bool) -> bool {
        self.stack.begin(stress)
    }

    /// Whether it marks what it is shown.
    #[inline]
    pub(crate) fn is_marking(&self) -> bool {
        matches!(self.mode, Mode::Marking | Mode::Watching)
    }

    /// There is no memory for something that cannot be done without: what is marked is not all.
    #[cold]
    pub(crate) fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Whether it failed. Then the cycle has to be given up.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Objects that had to wait because there was no memory for the stack to grow.
    pub(crate) fn refused(&self) -> usize {
        self.stack.refused()
    }

    /// Puts work for the finish into its list, which cannot be done without.
    pub(crate) fn at_finish(&mut self, work: FinishWork) {
        if !try_push(&mut self.at_finish, work) {
            self.fail();
        }
    }

    /// Notes a weak cell whose target is not marked yet.
    pub(crate) fn note_weak_cell(&mut self, cell: *const WeakCell) {
        if !try_push(&mut self.weak_cells, cell) {
            self.has_unlisted_weak_cells = true;
        }
    }

    /// Notes a weak set, which has to be flipped; none if there was no memory for that.
    pub(crate) fn note_weak_set(&mut self, set: Option<FlipWeakSet>) {
        if !set.is_some_and(|set| try_push(&mut self.weak_sets, set)) {
            self.fail();
        }
    }

    /// Notes an evict cell that was not chosen. If there is no memory, it is no candidate, and its target is kept.
    pub(crate) fn note_evict_cell(&mut self, cell: CellRef) {
        if self.is_marking() && !try_push(&mut self.evict_cells, cell) {
            self.edge_any(cell.target());
        }
    }

    /// Watches from now on, while anything waits.
    pub(crate) fn watch(&mut self) {
        self.mode = Mode::Watching;
    }

    /// The edges recorded since the last call.
    pub(crate) fn take_recorded(&mut self) -> Vec<*const u8> {
        core::mem::take(&mut self.recorded)
    }

    /// Objects marked so far.
    pub(crate) fn marked_count(&self) -> usize {
        self.marked_count
    }

    /// Bytes outside of the heap that marked objects reported so far.
    pub(crate) fn external_bytes(&self) -> usize {
        self.external_bytes
    }

    /// Adds bytes that the visited value owns outside of the heap (a buffer, a table) to what the
    /// collector knows to be in use. It paces itself by them; nothing is freed early or late.
    #[inline]
    pub fn report_bytes(&mut self, bytes: usize) {
        self.external_bytes = self.external_bytes.saturating_add(bytes);
    }

    /// Forgets the bytes reported so far.
    pub(crate) fn forget_bytes(&mut self) {
        self.external_bytes = 0;
    }

    /// An edge to an object whose type is known.
    #[inline(always)]
    pub(crate) fn edge<'gc, T: IObject<'gc>>(&mut self, target: Gc<'gc, T>) {
        let target = target.address();
        self.edge_tagged(if T::NEEDS_VISIT { target } else { target.map_addr(|a| a | LEAF) });
    }

    /// An edge to an object of any type.
    #[inline(always)]
    pub(crate) fn edge_any(&mut self, target: *const u8) {
        // What says whether it is a leaf, for when the edge leaves the ring.
        prefetch(page_info_address(target));
        self.edge_tagged(target.map_addr(|a| a | ANY));
    }

    #[inline(always)]
    fn edge_tagged(&mut self, tagged: *const u8) {
        if self.mode != Mode::Marking {
            return self.edge_slow(tagged);
        }
        let left = self.enter_ring(tagged);
        if left.is_null() {
            self.edge_count += 1;
        } else {
            self.gray(left);
        }
    }

    #[cold]
    fn edge_slow(&mut self, tagged: *const u8) {
        match self.mode {
            Mode::Marking | Mode::Watching => {}
            Mode::Recording => {
                if !try_push(&mut self.recorded, tagged.map_addr(|a| a & !TAGS)) {
                    self.fail();
                }
                return;
            }
            Mode::Measuring => return,
        }
        let left = self.enter_ring(tagged);
        if left.is_null() {
            self.edge_count += 1;
        } else {
            self.gray_watching(left);
        }
    }

    /// Puts an edge into the first ring, and returns the one that leaves it: null if the ring was not full.
    #[inline(always)]
    fn enter_ring(&mut self, tagged: *const u8) -> *const u8 {
        prefetch(mark_address(tagged));
        let at = self.edge_next % EDGE_RING;
        self.edge_next = at + 1;
        core::mem::replace(&mut self.edges[at], tagged)
    }

    /// Marks the target of an edge; what is new and has edges of its own goes onto the stack. Whether
    /// it is new.
    #[inline(always)]
    fn gray(&mut self, tagged: *const u8) -> bool {
        let object = tagged.map_addr(|a| a & !TAGS);
        // SAFETY: what is visited is an object's address (H1).
        let (word, bit) = unsafe { mark_word(object) };
        let bits = word.load(Relaxed);
        if bits & bit != 0 {
            return false;
        }
        // SAFETY: as above; this is its space's marker.
        unsafe { set_mark(object, word, bits, bit) };
        self.marked_count += 1;
        let is_leaf = match tagged.addr() & TAGS {
            0 => false,
            // SAFETY: as above.
            ANY => unsafe { info_of(object) }.visit.is_none(),
            _ => true,
        };
        if !is_leaf {
            // SAFETY: as above, and marked.
            unsafe { self.stack.push(object) };
        }
        true
    }

    /// As [`gray`](Visitor::gray), and wakes the entries that wait for the object (J3).
    fn gray_watching(&mut self, tagged: *const u8) {
        if self.gray(tagged) && !self.ephemerons.wake(tagged.map_addr(|a| a & !TAGS)) {
            self.fail();
        }
    }

    /// Begins with old objects: they are marked already, `count` of them, and those of types that may change are
    /// gray again. Before anything else is marked.
    ///
    /// # Safety
    ///
    /// The mark bits in the heap's spans are those of the last cycle (H3), and the graph is frozen (V2).
    pub(crate) unsafe fn begin_minor(&mut self, heap: &Heap, count: usize) {
        debug_assert!(self.marked_count == 0 && !self.stack.has_any());
        self.marked_count = count;
        // SAFETY: the caller's promise.
        unsafe { self.gray_again(heap, |info| info.may_change) };
    }

    /// Begins the last increment: marked objects of types that may change unseen are gray again (I3).
    ///
    /// # Safety
    ///
    /// The mark bits in the heap's spans are this visitor's, and the graph is frozen from now on (V2).
    pub(crate) unsafe fn begin_last_increment(&mut self, heap: &Heap) {
        self.begin_increment();
        // What is on the stack already must not be traced twice: finish work is to be found once.
        self.stack.forget(|info| info.changes_unseen);
        // SAFETY: the caller's promise.
        unsafe { self.gray_again(heap, |info| info.changes_unseen) };
    }

    /// Marked objects of some types are gray again.
    ///
    /// # Safety
    ///
    /// The caller holds the space as its collector, or is destroying it; the mark bits name objects.
    unsafe fn gray_again(&mut self, heap: &Heap, of: impl Fn(&TypeInfo) -> bool) {
        heap.each_span(|span| {
            // SAFETY: the collector holds the space, so its spans are there to be read; where a mark bit is set there is
            // an object.
            unsafe {
                if of(span.info()) {
                    span.for_each_marked(|object| self.stack.push(object));
                }
            }
        });
    }

    /// Traces until nothing is gray (V1) and no entry of an ephemeron map is to be shown (J2).
    ///
    /// # Safety
    ///
    /// The graph is frozen (V2), and every edge shown so far led to an object (H1).
    pub(crate) unsafe fn drain(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { self.drain_edges() };
        while !self.ephemerons.is_idle() {
            // SAFETY: as above.
            unsafe {
                self.show_ephemerons();
                self.drain_edges();
            }
            if !self.ephemerons.is_waiting() {
                self.mode = Mode::Marking;
            }
        }
    }

    /// Traces until nothing is gray (V1).
    ///
    /// # Safety
    ///
    /// As [`drain`](Visitor::drain).
    unsafe fn drain_edges(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { self.drain_up_to::<false>(0) };
    }

    /// Traces until nothing is gray (V1), or until about so many objects were traced and marked. The rings are empty
    /// afterwards: what is gray is on the stack (I2).
    ///
    /// # Safety
    ///
    /// As [`drain`](Visitor::drain).
    pub(crate) unsafe fn drain_some(&mut self, work: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.drain_up_to::<true>(work) };
    }

    /// # Safety
    ///
    /// As [`drain`](Visitor::drain).
    #[inline(always)]
    unsafe fn drain_up_to<const BOUNDED: bool>(&mut self, work: usize) {
        let mut objects = [core::ptr::null::<u8>(); OBJECT_RING];
        let mut next = 0;
        let mut held = 0;
        let end = self.marked_count + work;
        let mut traced = 0;
        loop {
            while let Some(object) = self.stack.pop() {
                if BOUNDED && self.marked_count + traced >= end {
                    self.flush_edges();
                    self.stack.put_back(object);
                    let held = objects.iter().filter(|object| !object.is_null());
                    held.for_each(|object| self.stack.put_back(*object));
                    return;
                }
                prefetch(object);
                prefetch(page_info_address(object));
                let left = core::mem::replace(&mut objects[next % OBJECT_RING], object);
                next = (next + 1) % OBJECT_RING;
                if left.is_null() {
                    held += 1;
                } else {
                    traced += 1;
                    // SAFETY: the object is marked and the graph frozen.
                    unsafe { self.trace(left) };
                }
            }
            if held > 0 {
                // The oldest: those held lie one behind the other, up to `next`.
                let oldest = next.wrapping_sub(held) % OBJECT_RING;
                let left = core::mem::replace(&mut objects[oldest], core::ptr::null());
                held -= 1;
                traced += 1;
                // SAFETY: as above.
                unsafe { self.trace(left) };
            } else if !self.flush_edges() && !self.stack.refill() {
                return;
            }
        }
    }

    /// Whether anything is gray, or was noted.
    pub(crate) fn has_gray(&self) -> bool {
        self.stack.has_any() || !self.recorded.is_empty()
    }

    /// What is gray between two increments, and perhaps more.
    pub(crate) fn gray_objects(&self) -> impl Iterator<Item = *const u8> + '_ {
        self.stack.each()
    }

    /// What was marked is given up: nothing is gray any more. By whoever holds the space.
    pub(crate) fn give_up(&mut self) {
        self.stack.clear();
    }

    /// Each weak set is to be flipped once, though it may have been found twice (V3).
    pub(crate) fn end_mark(&mut self) {
        if self.stack.waited() > 0 {
            self.weak_sets.sort_unstable_by_key(FlipWeakSet::address);
            self.weak_sets.dedup_by_key(|set| set.address());
        }
    }

    /// Goes on with what is on the stack, and what was noted since.
    pub(crate) fn begin_increment(&mut self) {
        self.mode = Mode::Marking;
        self.mark_noted();
        self.ephemerons = Ephemerons::new();
    }

    /// Marks what was noted: into the stack, not through the rings, which are empty.
    fn mark_noted(&mut self) {
        for at in 0..self.recorded.len() {
            let object = self.recorded[at];
            self.gray(object.map_addr(|a| a | ANY));
        }
        self.recorded.clear();
    }

    /// Keeps what is noted from growing without end.
    #[inline]
    pub(crate) fn bound_noted(&mut self) {
        if self.recorded.len() >= NOTED_MAX {
            self.mark_noted();
        }
    }

    /// What was noted since the increment.
    pub(crate) fn noted(&self) -> &[*const u8] {
        &self.recorded
    }

    /// Drops what visits found that is not edges: the last increment finds it again. What is shown from here on is
    /// noted.
    pub(crate) fn end_increment(&mut self) {
        debug_assert!(self.edge_count == 0 && self.mode == Mode::Marking);
        self.forget_bytes();
        self.weak_cells.clear();
        self.has_unlisted_weak_cells = false;
        self.weak_sets.clear();
        self.evict_cells.clear();
        self.at_finish.clear();
        self.ephemerons = Ephemerons::new();
        self.mode = Mode::Recording;
    }

    /// Marks what waits in the first ring; false if nothing did.
    #[inline(always)]
    fn flush_edges(&mut self) -> bool {
        let count = core::mem::take(&mut self.edge_count);
        // They lie one behind the other, up to `edge_next`. Marking puts none in.
        for back in (1..=count).rev() {
            let at = self.edge_next.wrapping_sub(back) % EDGE_RING;
            let left = core::mem::replace(&mut self.edges[at], core::ptr::null());
            if self.mode == Mode::Watching {
                self.gray_watching(left);
            } else {
                self.gray(left);
            }
        }
        count > 0
    }

    /// Shows this visitor the edges of one object.
    ///
    /// # Safety
    ///
    /// `object` is an object's address (H1), and nobody changes the object meanwhile (V2).
    #[inline(always)]
    pub(crate) unsafe fn trace(&mut self, object: *const u8) {
        // SAFETY: the caller's promise; the function is the one registered for the object's type.
        unsafe {
            if let Some(visit) = info_of(object).visit {
                visit(object, self);
            }
        }
    }
}

/// Asks for a cache line to read.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: prefetching any address is harmless.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Asks for a cache line to write.
#[inline(always)]
pub(crate) fn prefetch_write(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: prefetching any address is harmless.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_ET0 }>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
