//! The mutator's side of a space's memory: cursors that bump through gaps.
//!
//! A *cursor* makes cells of one type and one size. It bumps a pointer through the current *gap*, a
//! run of free cells of its span; when the gap is used up it looks for the next one by the allocation
//! bits, then for another span that the last sweep left room in, then for a new one. There are no
//! free lists in object memory.
//!
//! A type's first spans are shares of pages that it has in all spaces together, the next ones single pages of blocks that
//! spaces share (`pool.rs`), so that a small space stays small, and what is left of it in another costs little; a type
//! that needs more gets whole blocks. Objects over [`CELL_MAX`] get a run of
//! blocks, above [`RUN_MAX`] a mapping of their own.
//!
//! Everything here is used with the space's exclusive lock held (H4), or while the space is being
//! destroyed. A finish detaches all spans; what comes back swept arrives through the gate. A merge gives up
//! all spans of one heap to another, as lists, however long they are ([`GivenUp`]).

use core::any::TypeId;
use core::hash::{Hash, Hasher};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::amount::{self, sum};
use crate::changes::Changes;
use crate::chunk::{
    set_alloc_bits, SpanKind, SpanRef, BLOCK, BLOCK_COUNT, BLOCK_PAGES, GRANULE, HEADER_BLOCKS,
    PAGE, SHARE,
};
use crate::cleaner::Cleanups;
use crate::error::{HeapFull, HeapFullCause};
use crate::home::{Gate, Home};
use crate::ledger::Ledger;
use crate::no_unwind::no_unwind;
use crate::object::IObject;
use crate::pile::Pile;
use crate::pool;
use crate::protocol::HeapBytes;
use crate::requests::Requests;
use crate::type_info::{register, TypeInfo};

/// The largest cell in bytes; what is larger has memory of its own.
pub(crate) const CELL_MAX: usize = 8 << 10;
/// The largest object in bytes that lives in a run of blocks; what is larger has a mapping.
pub(crate) const RUN_MAX: usize = 1 << 20;
/// The largest cell in bytes that has pages of shared blocks.
const STARTER_CELL_MAX: usize = 512;
/// How many shares a cursor has before it takes pages, or blocks.
const STARTER_SHARES: usize = 4;
/// Lists that batches may hand back between the reservation for a finish and the finish: what is more takes memory there.
const RETURNED_MEANWHILE: usize = 64;
/// How many single pages a cursor has before it takes whole blocks.
const STARTER_PAGES: usize = 3;
/// Entries of the table that finds a type's cursors.
const CACHE_ENTRIES: usize = 128;
/// Cursors of a type with a tail: one for each size class.
const CLASS_COUNT: usize = 33;
/// How far ahead of the bump pointer memory is asked for, in bytes.
const PREFETCH_AHEAD: usize = 1024;

/// Bytes of a cell for a type without a tail.
pub(crate) const fn cell_bytes(size: usize, align: usize) -> usize {
    let align = if align < GRANULE { GRANULE } else { align };
    let size = if size == 0 { 1 } else { size };
    size.next_multiple_of(align)
}

/// The size class of an object of `bytes` with a tail: exact to 128 bytes, then four to a doubling.
#[inline(always)]
fn class_of(bytes: usize) -> usize {
    let granules = bytes.div_ceil(GRANULE).max(1);
    if granules <= 8 {
        return granules - 1;
    }
    let log = (granules - 1).ilog2() as usize;
    // granules - 1 is in [2^log, 2^(log+1)); two bits below the top one choose the quarter.
    8 + (log - 3) * 4 + (((granules - 1) >> (log - 2)) & 3)
}

/// Bytes of a size class.
fn class_bytes(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * GRANULE;
    }
    let (log, quarter) = ((class - 8) / 4 + 3, (class - 8) % 4);
    ((1 << log) + ((quarter + 1) << (log - 2))) * GRANULE
}

/// Bytes that an object takes: those of its cell or of its blocks.
pub(crate) fn object_bytes(bytes: usize, has_tail: bool) -> usize {
    match cell_bytes(bytes, GRANULE) {
        large if large > CELL_MAX => large.next_multiple_of(BLOCK),
        cell if has_tail => class_bytes(class_of(cell)),
        cell => cell,
    }
}

/// Makes cells of one type and size.
pub(crate) struct Cursor {
    /// The next cell; null when there is no gap.
    at: *mut u8,
    /// One past the last cell of the gap.
    end: *mut u8,
    cell_bytes: usize,
    gap_start: *mut u8,
    span: Option<SpanRef>,
    /// Where in the span to look for the next gap, in cells.
    scan: usize,
    /// Spans with room, as the last sweep left them.
    with_room: Vec<SpanRef>,
    /// Spans without.
    full: Vec<SpanRef>,
    /// Spans to begin with that it has, those that are out to be swept not counted.
    starters: Starters,
    /// Those that it had at the last finish.
    starters_before: Starters,
}

/// Spans that a cursor has before it takes whole blocks.
#[derive(Clone, Copy, Default)]
struct Starters {
    shares: usize,
    pages: usize,
}

impl Starters {
    fn count(&mut self, kind: SpanKind) {
        self.shares += usize::from(kind == SpanKind::Share);
        self.pages += usize::from(kind == SpanKind::Page);
    }
}

impl Cursor {
    fn new(cell_bytes: usize) -> Cursor {
        Cursor {
            at: core::ptr::null_mut(),
            end: core::ptr::null_mut(),
            cell_bytes,
            gap_start: core::ptr::null_mut(),
            span: None,
            scan: 0,
            with_room: Vec::new(),
            full: Vec::new(),
            starters: Starters::default(),
            starters_before: Starters::default(),
        }
    }

    /// What kind of span the next one is to be.
    fn next_kind(&self, info: &TypeInfo) -> SpanKind {
        let shares = self.starters.shares.max(self.starters_before.shares);
        let pages = self.starters.pages.max(self.starters_before.pages);
        let is_shareable = self.cell_bytes <= PAGE && info.align() <= SHARE;
        if is_shareable && shares < STARTER_SHARES && pages == 0 {
            SpanKind::Share
        } else if self.cell_bytes <= STARTER_CELL_MAX && pages < STARTER_PAGES {
            SpanKind::Page
        } else {
            SpanKind::Block
        }
    }

    /// Ends the current gap: its cells up to the bump pointer get their allocation bits (H2).
    /// Returns how many cells of it were left.
    fn retire_gap(&mut self) -> usize {
        if self.at.is_null() {
            return 0;
        }
        // SAFETY: the gap lies in the cursor's span, which is the mutator's (H4).
        unsafe { set_alloc_bits(self.gap_start, self.at, self.cell_bytes) };
        let left = (self.end.addr() - self.at.addr()) / self.cell_bytes;
        (self.at, self.end) = (core::ptr::null_mut(), core::ptr::null_mut());
        left
    }

    /// The next gap of the current span: how many cells it has.
    fn next_gap(&mut self) -> Option<usize> {
        let span = self.span?;
        // SAFETY: the cursor's span is the mutator's (H4).
        let (count, (_, allocs)) = unsafe { (span.cell_count(), span.bits()) };
        let stride = self.cell_bytes / GRANULE;
        let mut cell = self.scan;
        while cell < count {
            let granule = cell * stride;
            // The next set bit at or after the cell: where the gap ends.
            let mut word = granule / 64;
            let mut bits = allocs.load(word) & (u64::MAX << (granule % 64));
            while bits == 0 && word + 1 < allocs.len() {
                word += 1;
                bits = allocs.load(word);
            }
            let end = if bits == 0 {
                count
            } else {
                (word * 64 + bits.trailing_zeros() as usize) / stride
            };
            let end = end.min(count);
            if end == cell {
                cell += 1;
                continue;
            }
            self.gap_start = span.base().wrapping_add(cell * self.cell_bytes);
            self.at = self.gap_start;
            self.end = span.base().wrapping_add(end * self.cell_bytes);
            self.scan = end;
            return Some(end - cell);
        }
        None
    }
}

/// A type's cursors: one, or one for each size class.
///
/// They are reached through this one pointer only, of which the cache has copies: a reference to them that
/// was made in another way would put an end to those.
struct TypeCursors {
    info: &'static TypeInfo,
    cursors: NonNull<[Cursor]>,
}

impl TypeCursors {
    fn new(info: &'static TypeInfo) -> TypeCursors {
        let cursors: Box<[Cursor]> = match info.tail {
            Some(_) => (0..CLASS_COUNT).map(|class| Cursor::new(class_bytes(class))).collect(),
            None => [Cursor::new(cell_bytes(info.size(), info.align()))].into(),
        };
        TypeCursors { info, cursors: NonNull::from(Box::leak(cursors)) }
    }

    /// The cursors, one by one, as pointers.
    fn each(&self) -> impl Iterator<Item = *mut Cursor> {
        let first = self.cursors.cast::<Cursor>().as_ptr();
        (0..self.cursors.len()).map(move |i| first.wrapping_add(i))
    }
}

impl Drop for TypeCursors {
    fn drop(&mut self) {
        // SAFETY: made from a box; the cache goes together with the heap.
        drop(unsafe { Box::from_raw(self.cursors.as_ptr()) });
    }
}

#[derive(Clone, Copy)]
struct CacheEntry {
    type_id: TypeId,
    cursors: *mut Cursor,
}

/// Stands in cache entries that are empty; no object type.
struct NoType;

/// Byte and object counts that may be read at any time, without the lock; and what else goes along with a batch's
/// objects when they are merged into another space's (P8).
#[derive(Default)]
pub(crate) struct Counters {
    /// Bytes of spans that the space has leased.
    pub(crate) committed: AtomicUsize,
    /// Bytes of cells.
    pub(crate) bytes: HeapBytes,
    /// What of them is taken to be alive, to plan by: until a batch is swept the share of its objects that are alive
    /// stands for it. No limit goes by this.
    pub(crate) live_estimate: AtomicUsize,
    /// Bytes outside of the heap that objects reported in the last cycle.
    pub(crate) external: AtomicUsize,
    /// Bytes outside of the heap that are charged to the space's ledger.
    pub(crate) charged: AtomicUsize,
    /// Of these, bytes of memory that is not there yet.
    pub(crate) pending: AtomicUsize,
    /// Bytes charged since the last finish, those given back since included.
    pub(crate) charged_since: AtomicUsize,
    /// Bytes of spans that came by merges since the last finish and that no object took: pages of small spaces, mostly.
    pub(crate) adopted_slack: AtomicUsize,
    /// Whether the ledger has a limit, so that allocation looks at it.
    pub(crate) has_limit: AtomicBool,
    /// What the space's next cycle by time would find.
    pub(crate) changes: Arc<Changes>,
    /// Bytes that may be handed out, and charged, until a collection is wanted.
    pub(crate) budget: AtomicUsize,
    /// Bytes that may be handed out until a collection is wanted as the heap's limit is near.
    pub(crate) room: AtomicUsize,
    /// Set when the budget was passed, until a finish.
    pub(crate) over_budget: AtomicBool,
    /// Objects that were alive at the last finish, and those allocated since, gaps included.
    pub(crate) objects: AtomicUsize,
    /// What the last cycle knows for the next.
    pub(crate) old: Old,
    /// A span that waited for drops may have room again (B3). Set by who ran them, taken back by the heap.
    pub(crate) has_waited: AtomicBool,
    /// Changes whenever a cleaner or a drop of a dead object has ended.
    pub(crate) drops_done: AtomicUsize,
    /// Spans that batches have swept and in which dead objects wait for their drops (B3), until the heap takes them.
    pub(crate) waiting: Mutex<Vec<SpanRef>>,
    /// The cleaners that wait.
    pub(crate) cleanups: Cleanups,
}

/// What is known of the *old* objects, those that were alive in the last cycle: their mark bits are set (H3).
/// Written by the collector, and by the batch that its cycle left, before the next one begins.
#[derive(Default)]
pub(crate) struct Old {
    /// Whether the mark bits are those of the last cycle: no cycle was given up since, nothing merged.
    pub(crate) is_known: AtomicBool,
    /// Objects of types that do not change.
    pub(crate) frozen: AtomicUsize,
    /// Objects of types that may.
    pub(crate) changing: AtomicUsize,
    /// Of these, objects of types that may change unseen (I3).
    pub(crate) unseen: AtomicUsize,
    /// Evictable references that were resident.
    pub(crate) evictable: AtomicUsize,
    /// Bytes that were alive in the last full cycle.
    pub(crate) full_bytes: AtomicUsize,
    /// Whether the last cycle was a minor one.
    pub(crate) was_minor: AtomicBool,
    /// Whether it may have left something that was dead: it was minor, or marked in increments.
    pub(crate) left_dead: AtomicBool,
}

impl Old {
    pub(crate) fn forget(&self) {
        self.is_known.store(false, Relaxed);
    }

    /// A cycle has condemned; its sweep will count what is old now.
    pub(crate) fn begin_count(&self, is_minor: bool, increments: usize) {
        self.is_known.store(true, Relaxed);
        self.frozen.store(0, Relaxed);
        self.changing.store(0, Relaxed);
        self.unseen.store(0, Relaxed);
        self.was_minor.store(is_minor, Relaxed);
        self.left_dead.store(is_minor || increments > 0, Relaxed);
    }

    /// A sweep has counted.
    pub(crate) fn count(&self, [frozen, changing, unseen]: [usize; 3], bytes: usize) {
        self.frozen.fetch_add(frozen, Relaxed);
        self.changing.fetch_add(changing, Relaxed);
        self.unseen.fetch_add(unseen, Relaxed);
        if !self.was_minor.load(Relaxed) {
            self.full_bytes.store(bytes, Relaxed);
        }
    }

    /// How many there are.
    pub(crate) fn objects(&self) -> usize {
        self.frozen.load(Relaxed) + self.changing.load(Relaxed)
    }
}

/// A driven space's mutators wait for the collector when they are over budget by this factor.
const FAR_OVER: usize = 2;

impl Counters {
    /// Bytes in use, those of objects that are dead and not swept yet included.
    pub(crate) fn allocated(&self) -> usize {
        self.bytes.allocated()
    }

    /// Bytes in use as far as can be told, without those that a sweep will free.
    pub(crate) fn allocated_estimate(&self) -> usize {
        amount::sum([self.live_estimate.load(Relaxed), self.bytes.since_finish()])
    }

    /// Bytes handed out, charged, and adopted though empty, since the last finish.
    pub(crate) fn spent(&self) -> usize {
        amount::sum([
            self.bytes.since_finish(),
            self.charged_since.load(Relaxed),
            self.adopted_slack.load(Relaxed),
        ])
    }

    /// Whether so much was allocated that a collection is due.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.spent() > self.budget.load(Relaxed) || self.is_beyond_room()
    }

    fn is_beyond_room(&self) -> bool {
        self.bytes.since_finish() > self.room.load(Relaxed)
    }

    /// Whether so much was allocated that mutators should not go on without a collection.
    pub(crate) fn is_far_over_budget(&self) -> bool {
        self.spent() / FAR_OVER > self.budget.load(Relaxed) || self.is_beyond_room()
    }

    /// Moves the counts of a space whose objects are merged into another's. Both are held exclusively.
    pub(crate) fn move_into(&self, target: &Counters) {
        // What was adopted before is a part of it.
        let slack = self.committed.load(Relaxed).saturating_sub(self.allocated());
        let slack = slack.max(self.adopted_slack.swap(0, Relaxed));
        amount::add(&target.adopted_slack, slack);
        self.bytes.move_into(&target.bytes);
        let pairs = [
            (&self.committed, &target.committed),
            (&self.live_estimate, &target.live_estimate),
            (&self.external, &target.external),
            (&self.charged_since, &target.charged_since),
            (&self.objects, &target.objects),
        ];
        for (from, into) in pairs {
            amount::add(into, from.swap(0, Relaxed));
        }
        target.cleanups.absorb(&self.cleanups);
        // In one step: a batch may put some here at any moment.
        let mut waiting = core::mem::take(&mut *self.waiting.lock());
        target.waiting.lock().append(&mut waiting);
        self.over_budget.store(false, Relaxed);
        self.old.forget();
        target.old.forget();
        let left_dead = self.old.left_dead.swap(false, Relaxed);
        target.old.left_dead.fetch_or(left_dead, Relaxed);
    }
}

/// The system has no memory for a list of the collector's.
#[derive(Debug)]
pub(crate) struct SystemFull;

/// Gives the memory of an empty span back to the pool: how many bytes.
///
/// # Safety
///
/// Nothing of the span is alive, its bits are zero, and it is the caller's (H4); it is no mapping.
pub(crate) unsafe fn give_back(span: SpanRef, kind: SpanKind) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        let (base, bytes) = (NonNull::new_unchecked(span.base()), span.bytes());
        span.unmake();
        match kind {
            SpanKind::Page => pool::give_back_page(base),
            SpanKind::Share => pool::give_back_share(base, bytes / SHARE),
            _ => pool::give_back_blocks(base, bytes / BLOCK),
        }
        bytes
    }
}

/// What the heap needs to know of its space.
pub(crate) struct HeapLinks {
    pub(crate) gate: Arc<Gate>,
    pub(crate) ledger: Ledger,
    pub(crate) counters: Arc<Counters>,
    pub(crate) requests: *const Requests,
    pub(crate) heap_bytes_max: usize,
}

/// All that a heap has, given up to be another's.
pub(crate) struct GivenUp {
    spans: Pile<SpanRef>,
    retired: Pile<SpanRef>,
    waiting: Pile<SpanRef>,
}

pub(crate) struct Heap {
    cache: [CacheEntry; CACHE_ENTRIES],
    types: HashMap<TypeId, TypeCursors>,
    /// Runs and mappings.
    large: Vec<SpanRef>,
    /// Spans that came with merged spaces: not allocated in until a sweep has been over them.
    adopted: Pile<SpanRef>,
    /// Mappings that a sweep emptied. They are unmapped after the next finish, when no reader of a weak
    /// set can look at their mark bits any more.
    retired: Pile<SpanRef>,
    /// Spans with objects in them, and with dead ones that wait for their drops (B3).
    waiting: Pile<SpanRef>,
    /// What the last allocation came to, until the collector is told.
    news: News,
    links: HeapLinks,
}

/// Memory for a large object, no span of which is made yet.
struct LargeMemory {
    base: NonNull<u8>,
    kind: SpanKind,
    /// Bytes of the mapping, or 0.
    mapped: usize,
}

/// What the collector is to be told of an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    /// The budget is passed.
    OverBudget,
    /// The ledger's limit was or would have been passed, or its soft one was.
    OverLimit,
    /// The heap's limit would have been passed.
    Denied,
}

struct FirstWord(u64);
impl Hasher for FirstWord {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    #[inline(always)]
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// The two places in the cache where a type may be: `TypeId` hashes as one word of good bits, a
/// constant when compiled.
#[inline(always)]
fn cache_places(type_id: TypeId) -> (usize, usize) {
    let mut hasher = FirstWord(0);
    type_id.hash(&mut hasher);
    let bits = hasher.finish();
    ((bits >> 20) as usize % CACHE_ENTRIES, (bits >> 40) as usize % CACHE_ENTRIES)
}

impl Heap {
    pub(crate) fn new(links: HeapLinks) -> Heap {
        let none = CacheEntry { type_id: TypeId::of::<NoType>(), cursors: core::ptr::null_mut() };
        Heap {
            cache: [none; CACHE_ENTRIES],
            types: HashMap::new(),
            large: Vec::new(),
            adopted: Pile::default(),
            retired: Pile::default(),
            waiting: Pile::default(),
            news: News::None,
            links,
        }
    }

    fn counters(&self) -> &Counters {
        &self.links.counters
    }

    /// The cursors of a type.
    ///
    /// # Safety
    ///
    /// `heap` is a space's heap, whose exclusive lock the caller holds.
    #[inline(always)]
    unsafe fn cursors<'gc, T: IObject<'gc>>(heap: *mut Heap) -> *mut Cursor {
        let type_id = TypeId::of::<T::R>();
        let (first, second) = cache_places(type_id);
        for place in [first, second] {
            // SAFETY: the caller's promise; the index is below the array's length.
            let entry = unsafe { *(&raw const (*heap).cache).cast::<CacheEntry>().add(place) };
            if entry.type_id == type_id {
                return entry.cursors;
            }
        }
        // SAFETY: the caller's promise; no other reference into the heap is in use.
        unsafe { (*heap).cursors_slow::<T>() }
    }

    #[cold]
    #[inline(never)]
    fn cursors_slow<'gc, T: IObject<'gc>>(&mut self) -> *mut Cursor {
        let type_id = TypeId::of::<T::R>();
        let entry = self.types.entry(type_id).or_insert_with(|| TypeCursors::new(register::<T>()));
        let cursors = entry.cursors.cast::<Cursor>().as_ptr();
        // Into an empty place if there is one; else into the first, out of which the other type moves
        // when it is next looked for.
        let (first, second) = cache_places(type_id);
        let empty = |place: usize| self.cache[place].cursors.is_null();
        let place = if !empty(first) && empty(second) { second } else { first };
        self.cache[place] = CacheEntry { type_id, cursors };
        cursors
    }

    /// A cell for an object of type `T` without a tail.
    ///
    /// # Safety
    ///
    /// `heap` is a space's heap, whose exclusive lock the caller holds. The caller initialises the
    /// cell before it does anything that may panic, collect or leave the access (H2).
    #[inline(always)]
    pub(crate) unsafe fn allocate<'gc, T: IObject<'gc>>(
        heap: *mut Heap,
    ) -> Result<*mut u8, HeapFull> {
        const { assert!(align_of::<T>() <= PAGE, "objects can be aligned to at most 4096 bytes") };
        let bytes = const { cell_bytes(size_of::<T>(), align_of::<T>()) };
        // SAFETY: the caller's promise, for all of them.
        unsafe {
            if bytes > CELL_MAX {
                return Heap::allocate_large(heap, bytes, register::<T>());
            }
            let cursor = Heap::cursors::<T>(heap);
            Heap::bump(heap, cursor, bytes, TypeId::of::<T::R>())
        }
    }

    /// A cell for an object of type `T` with a tail, `bytes` in all.
    ///
    /// # Safety
    ///
    /// As for [`allocate`](Heap::allocate).
    #[inline(always)]
    pub(crate) unsafe fn allocate_tail<'gc, T: IObject<'gc>>(
        heap: *mut Heap,
        bytes: usize,
    ) -> Result<*mut u8, HeapFull> {
        const {
            assert!(
                align_of::<T>() <= GRANULE,
                "objects with a tail can be aligned to at most 16 bytes"
            )
        };
        // SAFETY: the caller's promise, for all of them; a class is below CLASS_COUNT as `bytes` is at
        // most CELL_MAX.
        unsafe {
            if bytes > CELL_MAX {
                return Heap::allocate_large(heap, bytes, register::<T>());
            }
            let cursor = Heap::cursors::<T>(heap).add(class_of(bytes));
            Heap::bump(heap, cursor, (*cursor).cell_bytes, TypeId::of::<T::R>())
        }
    }

    /// # Safety
    ///
    /// As for [`allocate`](Heap::allocate); `cursor` is one of the heap's for that type, with cells of
    /// `bytes`.
    #[inline(always)]
    unsafe fn bump(
        heap: *mut Heap,
        cursor: *mut Cursor,
        bytes: usize,
        type_id: TypeId,
    ) -> Result<*mut u8, HeapFull> {
        // SAFETY: the caller's promise.
        unsafe {
            let at = (*cursor).at;
            if at.addr() >= (*cursor).end.addr() {
                return Heap::refill(heap, cursor, type_id);
            }
            (*cursor).at = at.wrapping_add(bytes);
            crate::visitor::prefetch_write(at.wrapping_add(PREFETCH_AHEAD));
            Ok(at)
        }
    }

    /// The first cell of the next gap.
    ///
    /// # Safety
    ///
    /// As for [`bump`](Heap::bump).
    #[cold]
    #[inline(never)]
    unsafe fn refill(
        heap: *mut Heap,
        cursor: *mut Cursor,
        type_id: TypeId,
    ) -> Result<*mut u8, HeapFull> {
        // SAFETY: the caller's promise.
        unsafe {
            let found = Heap::begin_gap(heap, cursor, type_id);
            // Before a cell is handed out that holds nothing yet.
            Heap::tell(heap);
            found?;
            let first = (*cursor).at;
            (*cursor).at = first.wrapping_add((*cursor).cell_bytes);
            Ok(first)
        }
    }

    /// Makes the next gap the cursor's, and counts it.
    ///
    /// # Safety
    ///
    /// As for [`bump`](Heap::bump).
    unsafe fn begin_gap(
        heap: *mut Heap,
        cursor: *mut Cursor,
        type_id: TypeId,
    ) -> Result<(), HeapFull> {
        // SAFETY: the caller holds the lock. Cursors lie apart from the heap and are reached through
        // `cursor` or through equal pointers only; a reference to one does not outlive the next use of
        // the heap that may make another.
        unsafe {
            let heap = &mut *heap;
            (*cursor).retire_gap();
            let mut drained = false;
            let cells = loop {
                let here = &mut *cursor;
                if let Some(cells) = here.next_gap() {
                    break cells;
                }
                if let Some(used_up) = here.span.take() {
                    here.full.push(used_up);
                }
                here.scan = 0;
                if let Some(span) = here.with_room.pop() {
                    here.span = Some(span);
                    continue;
                }
                if !drained {
                    drained = true;
                    // May put spans into this cursor's list.
                    heap.take_returned();
                    continue;
                }
                let info = heap.types[&type_id].info;
                let here = &mut *cursor;
                let kind = here.next_kind(info);
                let span = heap.new_span(here.cell_bytes, kind, info)?;
                here.starters.count(kind);
                here.span = Some(span);
            };
            let here = &mut *cursor;
            if let Err(full) = heap.hand_out(cells * here.cell_bytes, cells) {
                // The gap stays free: nothing of it was used.
                here.scan -= cells;
                (here.at, here.end) = (core::ptr::null_mut(), core::ptr::null_mut());
                return Err(full);
            }
            Ok(())
        }
    }

    /// An error if bytes would pass the heap's limit. What is more than that is refused and nothing else: no
    /// collection would help. Afterwards there may be something to [`tell`](Heap::tell).
    fn check_limit(&mut self, bytes: usize) -> Result<(), HeapFull> {
        let (allocated, limit) = (self.counters().allocated(), self.links.heap_bytes_max);
        if bytes <= limit.saturating_sub(allocated) {
            return Ok(());
        }
        if bytes <= limit {
            self.news = News::Denied;
            self.requests().note_lacking(bytes);
        }
        let cause = HeapFullCause::Limit { limit, allocated };
        Err(HeapFull { requested: bytes, cause })
    }

    /// Counts bytes that an allocation takes; an error if they would pass the limit. Afterwards there may be something
    /// to [`tell`](Heap::tell).
    fn hand_out(&mut self, bytes: usize, objects: usize) -> Result<(), HeapFull> {
        self.check_limit(bytes)?;
        let counters = self.counters();
        let hand_out = || {
            counters.bytes.hand_out(bytes);
            counters.objects.store(counters.objects.load(Relaxed) + objects, Relaxed);
        };
        let mut over_soft = 0;
        // A first limit that is set meanwhile may be missed, but not by what is worth a mapping: that goes by the books.
        if !counters.has_limit.load(Relaxed) && bytes <= RUN_MAX {
            hand_out();
        } else {
            match self.links.ledger.allocate(bytes, hand_out) {
                Ok(over) => over_soft = over,
                Err((used, limit)) => return Err(self.denied(bytes, used, limit)),
            }
        }
        if over_soft > 0 {
            self.requests().note_lacking(over_soft);
            self.news = News::OverLimit;
        } else if counters.is_over_budget() {
            self.news = News::OverBudget;
        }
        Ok(())
    }

    /// Bytes would pass the ledger's limit. What is more than that is refused and nothing else.
    fn denied(&mut self, requested: usize, used: usize, limit: usize) -> HeapFull {
        if requested <= limit {
            self.requests().note_lacking(requested.saturating_sub(limit.saturating_sub(used)));
            self.news = News::OverLimit;
        }
        HeapFull { requested, cause: HeapFullCause::Memory { limit, used } }
    }

    fn requests(&self) -> &Requests {
        // SAFETY: the requests live in the space that the heap is a part of, and which is there while
        // something is allocated.
        unsafe { &*self.links.requests }
    }

    /// Tells the collector what an allocation came to. It is the user's, and may have objects counted: no reference
    /// into the heap is in use here, and every cell that is handed out holds an object.
    ///
    /// # Safety
    ///
    /// `heap` is a space's heap, whose exclusive lock the caller holds.
    #[inline]
    unsafe fn tell(heap: *mut Heap) {
        // SAFETY: the caller's promise.
        unsafe {
            if (*heap).news != News::None {
                Heap::tell_slow(heap);
            }
        }
    }

    /// # Safety
    ///
    /// As for [`tell`](Heap::tell).
    #[cold]
    unsafe fn tell_slow(heap: *mut Heap) {
        // SAFETY: the caller's promise. Requests and counters lie apart from the heap, in the space and in an allocation
        // that the space shares; both are there while something is allocated.
        let (news, requests, counters) = unsafe {
            let news = core::mem::replace(&mut (*heap).news, News::None);
            (news, &*(*heap).links.requests, &*Arc::as_ptr(&(*heap).links.counters))
        };
        if news == News::OverLimit {
            // What is lacking was noted before.
            requests.ask_for_room(0);
        }
        if news == News::Denied || counters.is_over_budget() {
            let first = !counters.over_budget.swap(true, Relaxed);
            requests.note_over_budget(first, counters.is_far_over_budget());
        }
    }

    fn out_of_memory(&self, requested: usize) -> HeapFull {
        HeapFull { requested, cause: HeapFullCause::System }
    }

    /// A new span.
    fn new_span(
        &mut self,
        cell_bytes: usize,
        kind: SpanKind,
        info: &'static TypeInfo,
    ) -> Result<SpanRef, HeapFull> {
        let (units, unit_bytes) = match kind {
            SpanKind::Share => (cell_bytes.div_ceil(SHARE), SHARE),
            SpanKind::Page => (1, PAGE),
            _ => (BLOCK_PAGES, PAGE),
        };
        let base = match kind {
            SpanKind::Share => pool::lease_share(info, units),
            SpanKind::Page => pool::lease_page(),
            _ => pool::lease_blocks(1),
        };
        let bytes = units * unit_bytes;
        let base = base.ok_or_else(|| self.out_of_memory(bytes))?;
        self.counters().committed.fetch_add(bytes, Relaxed);
        // SAFETY: just leased, for that type (H6), and so this heap's (H4).
        Ok(unsafe { SpanRef::make(base, kind, units, cell_bytes, 0, info) })
    }

    /// # Safety
    ///
    /// As for [`allocate`](Heap::allocate).
    #[cold]
    #[inline(never)]
    unsafe fn allocate_large(
        heap: *mut Heap,
        bytes: usize,
        info: &'static TypeInfo,
    ) -> Result<*mut u8, HeapFull> {
        let rounded = bytes.next_multiple_of(BLOCK);
        // SAFETY: the caller's promise, for all of them.
        unsafe {
            let taken = (*heap).take_large(rounded);
            // Before there is a cell that holds nothing yet.
            Heap::tell(heap);
            let taken = taken?;
            Ok((*heap).make_large(taken, rounded, info))
        }
    }

    /// Memory for a large object. First whether there is room, then whether there is memory, and only then is anything
    /// counted: what the system refuses leaves no trace. Afterwards there may be something to [`tell`](Heap::tell).
    fn take_large(&mut self, rounded: usize) -> Result<LargeMemory, HeapFull> {
        self.check_limit(rounded)?;
        if self.counters().has_limit.load(Relaxed) {
            let checked = self.links.ledger.check(rounded);
            checked.map_err(|(used, limit)| self.denied(rounded, used, limit))?;
        }
        let is_run = rounded <= RUN_MAX.min((BLOCK_COUNT - HEADER_BLOCKS) * BLOCK);
        let made = if is_run {
            pool::lease_blocks(rounded / BLOCK).map(|base| LargeMemory {
                base,
                kind: SpanKind::Run,
                mapped: 0,
            })
        } else {
            pool::map_object(rounded).map(|(base, mapped)| LargeMemory {
                base,
                kind: SpanKind::Mapping,
                mapped,
            })
        };
        let Some(memory) = made else { return Err(self.out_of_memory(rounded)) };
        if let Err(full) = self.hand_out(rounded, 1) {
            // Somebody else's charge took the room.
            // SAFETY: just leased or mapped, no span is made in it, and nobody knows of it.
            unsafe {
                match memory.kind {
                    SpanKind::Mapping => pool::unmap_object(memory.base, memory.mapped),
                    _ => pool::give_back_blocks(memory.base, rounded / BLOCK),
                }
            }
            return Err(full);
        }
        Ok(memory)
    }

    /// A cell in memory that was taken for it.
    fn make_large(
        &mut self,
        memory: LargeMemory,
        rounded: usize,
        info: &'static TypeInfo,
    ) -> *mut u8 {
        let LargeMemory { base, kind, mapped } = memory;
        self.counters().committed.fetch_add(rounded, Relaxed);
        // SAFETY: the memory was just leased or mapped for this space.
        unsafe {
            let span = SpanRef::make(base, kind, rounded / PAGE, rounded, mapped, info);
            set_alloc_bits(base.as_ptr(), base.as_ptr().wrapping_add(rounded), rounded);
            self.large.push(span);
        }
        base.as_ptr()
    }

    /// Takes back what the sweep has done with.
    pub(crate) fn take_returned(&mut self) {
        let returned = self.links.gate.take();
        let has_waited = self.counters().has_waited.swap(false, Relaxed);
        if returned.is_empty() && !has_waited {
            return;
        }
        // A span that is taken and in no list would be lost, with the marks of its objects.
        no_unwind("taking back what was swept", || {
            for span in returned.into_iter().flatten() {
                // SAFETY: the sweep gave the span up; now it is the mutator's (H4).
                unsafe { self.put_back(span) };
            }
            if has_waited {
                for span in self.take_done_waiting() {
                    // SAFETY: no batch counts for the span any more (B3), so it is the mutator's alone (H4).
                    unsafe { self.put_back(span) };
                }
            }
        });
    }

    /// Takes the spans that sweeps have left with dead objects in them.
    fn take_begun_to_wait(&mut self) {
        let begun = core::mem::take(&mut *self.counters().waiting.lock());
        begun.into_iter().for_each(|span| self.waiting.push(span));
    }

    /// Takes out the spans that wait no longer.
    fn take_done_waiting(&mut self) -> Vec<SpanRef> {
        self.take_begun_to_wait();
        let mut done = Vec::new();
        self.waiting.retain(|span| {
            // ORDERING: Acquire: what the drops did in the cells comes before what is done there from here on.
            let waits = span.waits().load(Acquire) > 0;
            if !waits {
                done.push(*span);
            }
            waits
        });
        done
    }

    /// Puts a span where it belongs.
    ///
    /// # Safety
    ///
    /// The span is the mutator's (H4), swept, and in no list.
    unsafe fn put_back(&mut self, span: SpanRef) {
        debug_assert_eq!(span.waits().load(Relaxed), 0, "it is among those that wait");
        // SAFETY: the caller's promise.
        let (kind, live, cell, count, info) = unsafe {
            let record = span.record();
            (
                record.kind,
                record.live_count as usize,
                record.cell_bytes,
                span.cell_count(),
                span.info(),
            )
        };
        match kind {
            SpanKind::Mapping if live == 0 => return self.retired.push(span),
            // What was alive when it began to wait has died since.
            _ if live == 0 => {
                // SAFETY: nothing of the span is alive; its bits are zero.
                let bytes = unsafe { give_back(span, kind) };
                self.counters().committed.fetch_sub(bytes, Relaxed);
                return;
            }
            SpanKind::Run | SpanKind::Mapping => return self.large.push(span),
            _ => {}
        }
        let cursor = self.cursor_for(info, cell);
        cursor.starters.count(kind);
        if live * 10 > count * 9 {
            cursor.full.push(span);
        } else {
            cursor.with_room.push(span);
        }
    }

    /// The cursor for cells of a type and size. A type that came with a merged space gets its cursors now.
    fn cursor_for(&mut self, info: &'static TypeInfo, cell: usize) -> &mut Cursor {
        let of_type = self.types.entry(info.type_id).or_insert_with(|| TypeCursors::new(info));
        let index = if info.tail.is_some() { class_of(cell) } else { 0 };
        let cursor = of_type.each().nth(index).expect("a cursor for each size class");
        // SAFETY: the holder of the heap has its cursors; the reference lives as long as that to the heap.
        unsafe { &mut *cursor }
    }

    /// Makes lists long enough for all lists of spans and for those that wait, so that to give them up needs no memory.
    pub(crate) fn reserve_detached(
        &mut self,
        spans: &mut Pile<SpanRef>,
        waiting: &mut Vec<SpanRef>,
    ) -> Result<(), SystemFull> {
        self.take_begun_to_wait();
        let (mut lists, mut cursors) = (RETURNED_MEANWHILE, 0);
        self.each_list(|_| lists += 1);
        self.types.values().for_each(|of_type| cursors += of_type.cursors.len());
        // One that waits may cease to.
        let wait_count = self.waiting.len();
        let reserved = spans.try_reserve(lists, sum([wait_count, cursors]));
        reserved.and_then(|()| waiting.try_reserve_exact(wait_count)).map_err(|_| SystemFull)
    }

    /// Gives up all spans, so that a sweep can have them; the mutator goes on with new ones. The cost depends on the
    /// number of types, not on that of spans. Those that wait stay, and are put into a list of their own: they wait for
    /// the caller's batch too from here on (B3). Needs no memory if the lists were
    /// [made long enough](Heap::reserve_detached).
    pub(crate) fn detach(&mut self, spans: &mut Pile<SpanRef>, waiting: &mut Vec<SpanRef>) {
        // None if it was reserved: sweeps alone make spans wait, and none is under way.
        self.take_begun_to_wait();
        self.waiting.retain(|span| {
            // ORDERING: as in `take_done_waiting`.
            let waits = span.waits().load(Acquire) > 0;
            if !waits {
                spans.push(*span);
            }
            waits
        });
        for span in self.waiting.iter() {
            span.waits().fetch_add(1, Relaxed);
            waiting.push(*span);
        }
        core::mem::take(&mut self.adopted).into_lists().for_each(|list| spans.push_bundle(list));
        spans.push_bundle(core::mem::take(&mut self.large));
        // Swept by the last batch and not looked at since.
        self.links.gate.take().into_iter().for_each(|returned| spans.push_bundle(returned));
        let mut left_bytes = 0;
        self.take_all(|cursor| {
            left_bytes += cursor.retire_gap() * cursor.cell_bytes;
            cursor.starters_before = cursor.starters;
            if let Some(span) = cursor.span.take() {
                spans.push(span);
            }
            spans.push_bundle(core::mem::take(&mut cursor.with_room));
            spans.push_bundle(core::mem::take(&mut cursor.full));
        });
        self.counters().bytes.take_back(left_bytes);
        self.counters().over_budget.store(false, Relaxed);
    }

    /// Calls `f` for each cursor, to end its gap and to take all its spans.
    fn take_all(&mut self, mut f: impl FnMut(&mut Cursor)) {
        for of_type in self.types.values() {
            for cursor in of_type.each() {
                // SAFETY: the holder of the heap has its cursors; one reference at a time.
                let cursor = unsafe { &mut *cursor };
                f(cursor);
                (cursor.scan, cursor.starters) = (0, Starters::default());
            }
        }
    }

    /// Calls `f` for each list of spans that are the mutator's now, those just returned included, and those that wait for
    /// drops.
    fn each_list(&self, mut f: impl FnMut(&[SpanRef])) {
        f(&self.large);
        f(&self.counters().waiting.lock());
        self.waiting.lists().chain(self.adopted.lists()).for_each(&mut f);
        self.links.gate.with_returned(|returned| returned.iter().for_each(|list| f(list)));
        for of_type in self.types.values() {
            for cursor in of_type.each() {
                // SAFETY: the holder of the heap has its cursors; nobody changes one meanwhile.
                let cursor = unsafe { &*cursor };
                f(cursor.span.as_slice());
                f(&cursor.with_room);
                f(&cursor.full);
            }
        }
    }

    /// Calls `f` for each span that is the mutator's now, those just returned included. Needs no memory.
    pub(crate) fn each_span(&self, mut f: impl FnMut(SpanRef)) {
        self.each_list(|list| list.iter().for_each(|span| f(*span)));
    }

    /// All spans that are the mutator's now, those just returned included.
    pub(crate) fn spans(&self) -> Vec<SpanRef> {
        let mut spans = Vec::new();
        self.each_list(|list| spans.extend_from_slice(list));
        spans
    }

    /// Mappings that an earlier sweep emptied, to be unmapped after this finish.
    pub(crate) fn take_retired(&mut self) -> Pile<SpanRef> {
        core::mem::take(&mut self.retired)
    }

    /// Gives all up to be another space's. The cost depends on the number of types, not on that of spans.
    pub(crate) fn give_up(&mut self) -> GivenUp {
        self.retire_gaps();
        let mut spans = core::mem::take(&mut self.adopted);
        self.take_all(|cursor| {
            // Its gap has ended.
            cursor.full.extend(cursor.span.take());
            cursor.starters_before = Starters::default();
            for list in [&mut cursor.with_room, &mut cursor.full] {
                let mut list = Pile::from_iter(core::mem::take(list));
                spans.prepare(&mut list);
                spans.absorb(&mut list);
            }
        });
        let mut large = Pile::from_iter(core::mem::take(&mut self.large));
        spans.prepare(&mut large);
        spans.absorb(&mut large);
        let (retired, waiting) =
            (core::mem::take(&mut self.retired), core::mem::take(&mut self.waiting));
        GivenUp { spans, retired, waiting }
    }

    /// Makes room for what another space's heap gave up, to take it over.
    pub(crate) fn prepare_adoption(&mut self, given_up: &mut GivenUp) {
        self.adopted.prepare(&mut given_up.spans);
        self.retired.prepare(&mut given_up.retired);
        self.waiting.prepare(&mut given_up.waiting);
    }

    /// Takes over what another space's heap gave up.
    pub(crate) fn adopt(&mut self, mut given_up: GivenUp) {
        self.adopted.absorb(&mut given_up.spans);
        self.retired.absorb(&mut given_up.retired);
        self.waiting.absorb(&mut given_up.waiting);
    }

    /// Goes by another home from now on.
    pub(crate) fn set_home(&mut self, home: &Home) {
        self.links.gate = Arc::clone(&home.gate);
        self.links.ledger = home.ledger.clone();
    }

    /// Ends all gaps, so that the allocation bits alone say what is allocated (H2).
    pub(crate) fn retire_gaps(&mut self) {
        let mut left_cells = 0;
        let mut left_bytes = 0;
        for of_type in self.types.values() {
            for cursor in of_type.each() {
                // SAFETY: the holder of the heap has its cursors; one reference at a time.
                let cursor = unsafe { &mut *cursor };
                let left = cursor.retire_gap();
                // The rest of the gap is found again: it ends where `scan` stands.
                cursor.scan -= left;
                left_cells += left;
                left_bytes += left * cursor.cell_bytes;
            }
        }
        self.counters().objects.fetch_sub(left_cells, Relaxed);
        self.counters().bytes.take_back(left_bytes);
    }

    /// Cells of current gaps that no object was put into yet.
    pub(crate) fn unused_cells(&self) -> usize {
        self.types
            .values()
            .flat_map(TypeCursors::each)
            // SAFETY: whoever may read the heap may read its cursors; nobody changes one meanwhile.
            .map(|cursor| unsafe { &*cursor })
            .filter(|cursor| !cursor.at.is_null())
            .map(|cursor| (cursor.end.addr() - cursor.at.addr()) / cursor.cell_bytes)
            .sum()
    }

    /// Takes an empty mapping back: the space is going.
    ///
    /// # Safety
    ///
    /// The span is swept and empty, and in no list.
    pub(crate) unsafe fn put_back_for_destruction(&mut self, span: SpanRef) {
        // SAFETY: the caller's promise.
        unsafe { self.put_back(span) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "every size there is")]
    fn size_classes_cover_every_size_with_at_most_a_quarter_lost() {
        let mut last = 0;
        for bytes in 1..=CELL_MAX {
            let class = class_of(bytes);
            let size = class_bytes(class);
            assert!(class < CLASS_COUNT, "{bytes}");
            assert!(size >= bytes, "{bytes} in {size}");
            assert!(size % GRANULE == 0 && size >= last);
            assert!(bytes <= 128 || size * 4 <= bytes * 5 + 4 * GRANULE, "{bytes} in {size}");
            assert_eq!(class_of(size), class, "a class's own size is in it");
            last = size;
        }
        assert_eq!(class_bytes(class_of(CELL_MAX)), CELL_MAX);
    }

    #[test]
    fn cells_keep_alignment() {
        assert_eq!(cell_bytes(0, 1), 16);
        assert_eq!(cell_bytes(17, 8), 32);
        assert_eq!(cell_bytes(16, 64), 64);
        assert_eq!(cell_bytes(1, 4096), 4096);
    }
}
