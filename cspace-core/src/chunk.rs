//! Chunks: 4 MiB of address space with everything the collector must know at the front.
//!
//! ```text
//! chunk   | header (2 blocks)                         | block 2 | block 3 | … | block 63 |
//! header  | marks 32 KiB | allocs 32 KiB | pages 8 KiB | spans 32 KiB | blocks 1.5 KiB | untraced 16 KiB |
//! ```
//!
//! - One mark bit and one allocation bit for each 16-byte *granule*; an object is named by the
//!   granule that it starts at. Nothing is written to an object to mark it.
//! - `pages[i]` names the [`TypeInfo`] of the objects on 4 KiB page `i`: from any object's address
//!   its type is two loads away, without a header in the object.
//! - A *span* is a run of pages in one block (or of whole blocks) that holds cells of one type and
//!   one size; `spans[i]` describes the span that starts at page `i`.
//! - A block is leased to one space at a time, or its pages are, one by one; `blocks[i]` says which of them are free.
//!
//! The first few objects of a type in a space lie in *shares*: a page of *shared chunks* has one type, as any page, and
//! pieces of 256 bytes of it belong to several spaces. There a span is a run of such pieces, and has its record behind
//! the header:
//!
//! ```text
//! shared chunk | header (2 blocks) | shares 512 KiB | shared pages 8 KiB | … block 11 | … | block 63 |
//! ```
//!
//! Shared chunks lie at odd multiples of 4 MiB, all others at even ones, so an address says which kind it is in.
//!
//! Objects above 1 MiB have a mapping of their own that begins with the same header; only their
//! base address is ever looked up, and that lies in the first 4 MiB.
//!
//! Invariants, cited by `SAFETY` comments elsewhere:
//!
//! - **H1 (base).** An object's address is the start of a cell of a leased span, its page's
//!   `TypeInfo` is that of the object, and pointers to it carry the provenance of the chunk.
//! - **H2 (alloc).** Between collections, a cell of a span holds an initialised object exactly if
//!   its allocation bit is set or it lies below the bump pointer in the current gap of a cursor.
//! - **H3 (marks).** Outside of a cycle a mark bit is set exactly if there is an *old* object, one that was alive
//!   in the last cycle of its space that condemned; none is if a cycle was given up since, and what an incremental
//!   mark that is under way has reached is (I2). Within a cycle mark bits are written by its marker alone, and read by
//!   its sweeper.
//! - **H4 (owner).** A span is touched by the holder of the space's exclusive lock, or, once it was
//!   detached by a finish, by the sweep that owns the batch; never by both. In a span that waits for drops (B3) the
//!   dead belong to their batches; the heap has the rest, and makes no new objects there.
//! - **H5 (shared words).** A word of mark, allocation or waiting bits of a shared chunk has bits of several spaces, each
//!   written as H2, H3 and V3 say. So every write there changes its own bits alone, in one atomic step (`shared_word.rs`).
//! - **H6 (leases).** The record of a block of single pages, and of a page of shares, is read and written with the pool's
//!   mutex held. A page of shares has its type from the first share that is leased of it to the last that comes back.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::shared_word;
use crate::type_info::TypeInfo;

/// Bytes for which there is one mark bit; every object starts at a multiple.
pub(crate) const GRANULE: usize = 16;
/// The unit that has one type.
pub(crate) const PAGE: usize = 4 << 10;
/// The unit that belongs to one space.
pub(crate) const BLOCK: usize = 64 << 10;
/// The unit that is mapped, and its alignment: the mask that finds the header.
pub(crate) const CHUNK: usize = 4 << 20;
/// Blocks in a chunk, those under the header included.
pub(crate) const BLOCK_COUNT: usize = CHUNK / BLOCK;
/// Pages in a block.
pub(crate) const BLOCK_PAGES: usize = BLOCK / PAGE;
/// Blocks that the header takes.
pub(crate) const HEADER_BLOCKS: usize = 2;
/// The unit of what spaces share a page by.
pub(crate) const SHARE: usize = 256;
/// Shares in a page.
pub(crate) const PAGE_SHARES: usize = PAGE / SHARE;
/// Blocks that the header of a shared chunk takes, records of shares included.
pub(crate) const SHARED_HEADER_BLOCKS: usize = 11;
const PAGE_COUNT: usize = CHUNK / PAGE;
const SHARE_COUNT: usize = CHUNK / SHARE;
const BLOCK_WORDS: usize = BLOCK / GRANULE / 64;

/// The front of a chunk.
#[repr(C)]
pub(crate) struct Chunk {
    marks: [AtomicU64; BLOCK_COUNT * BLOCK_WORDS],
    allocs: [AtomicU64; BLOCK_COUNT * BLOCK_WORDS],
    /// Written when a span is made (under the owner's exclusive lock), read by whoever holds an
    /// object of it.
    pages: [AtomicPtr<TypeInfo>; PAGE_COUNT],
    spans: [Span; PAGE_COUNT],
    blocks: [Block; BLOCK_COUNT],
    /// A bit for two granules each: an object that begins there waits to be traced (V3). Mostly never touched.
    untraced: [AtomicU64; BLOCK_COUNT * BLOCK_WORDS / 2],
}

const _: () = assert!(size_of::<Chunk>() <= HEADER_BLOCKS * BLOCK);

/// What a shared chunk has behind that.
#[repr(C)]
struct Shared {
    /// The records of spans, by their first share; the array of the header is not used.
    shares: [Span; SHARE_COUNT],
    pages: [SharedPage; PAGE_COUNT],
}

const _: () = assert!(HEADER_BLOCKS * BLOCK + size_of::<Shared>() <= SHARED_HEADER_BLOCKS * BLOCK);

/// What the pool knows of a page of a shared chunk.
#[repr(C)]
pub(crate) struct SharedPage {
    /// A bit for each share that is free.
    pub(crate) free: u16,
    /// Where the page is in the pool's list of those of its type that have free shares.
    pub(crate) place: u32,
}

/// Whether an address is in a shared chunk.
#[inline(always)]
pub(crate) fn is_shared(address: *const u8) -> bool {
    address.addr() & CHUNK != 0
}

/// What the pool knows of a block.
#[repr(C)]
pub(crate) struct Block {
    /// For a block that small spans share: a bit for each page that is free. The pool's.
    pub(crate) free_pages: u16,
    /// Where the block is in the pool's list of those that have free pages.
    pub(crate) place: u32,
    /// Whether the block is in a list of those in which objects wait to be traced, and the next one in it. The space's
    /// marker's (V3); not used for a block that small spans share, which may be of several spaces.
    pub(crate) has_untraced: bool,
    pub(crate) next_untraced: *mut Block,
}

/// A run of pages with cells of one type and one size. Lives in the chunk header (H4).
#[repr(C)]
pub(crate) struct Span {
    /// Bytes from one cell to the next.
    pub(crate) cell_bytes: usize,
    /// Pages, or shares; 0 if no span starts here.
    pub(crate) unit_count: u32,
    /// Cells that the last sweep found alive.
    pub(crate) live_count: u32,
    /// Of a share, or of a page of a block that spaces share, the next one in a list of those in which objects wait to be traced (V3). Of a single
    /// object with a mapping of its own, the bytes of the mapping, as an address. Else null.
    link: *mut Span,
    /// Kind of span, decides how its memory is given back.
    pub(crate) kind: SpanKind,
    /// Whether it is in such a list. The space's marker's, as the list.
    has_untraced: bool,
    /// Batches whose dead in this span wait for their drops (B3). While there are some, other threads than the holder of
    /// the space read and write this field, so nobody makes a reference to the whole record.
    waits: AtomicU32,
}

/// How a span came by its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum SpanKind {
    /// No span starts at this page. Zero, as fresh memory is.
    None = 0,
    /// One page of a block that several types share.
    Page = 1,
    /// A whole block.
    Block = 2,
    /// One object in a run of blocks.
    Run = 3,
    /// One object in a mapping of its own.
    Mapping = 4,
    /// Shares of a page.
    Share = 5,
}

/// The chunk that an object lies in.
#[inline(always)]
pub(crate) fn chunk_of(object: *const u8) -> *mut Chunk {
    object.map_addr(|a| a & !(CHUNK - 1)).cast_mut().cast()
}

#[inline(always)]
fn granule(object: *const u8) -> usize {
    (object.addr() & (CHUNK - 1)) / GRANULE
}

/// The mark word of an object and its bit in it.
///
/// # Safety
///
/// `object` is an object's address (H1).
#[inline(always)]
pub(crate) unsafe fn mark_word<'a>(object: *const u8) -> (&'a AtomicU64, u64) {
    let granule = granule(object);
    // SAFETY: by H1 the chunk header is mapped and in the pointer's provenance; a granule number
    // of a chunk is below the array's length.
    let word =
        unsafe { &*(&raw const (*chunk_of(object)).marks).cast::<AtomicU64>().add(granule / 64) };
    (word, 1 << (granule % 64))
}

/// Sets an object's mark bit, in a word that was read as `bits`.
///
/// # Safety
///
/// `object` is an object's address (H1), `word` and `bit` are its [`mark_word`], and the caller is the marker of its space
/// (H3).
#[inline(always)]
pub(crate) unsafe fn set_mark(object: *const u8, word: &AtomicU64, bits: u64, bit: u64) {
    if is_shared(object) {
        shared_word::set(word, bit);
    } else {
        // Plain read and write: one marker at a time (H3).
        word.store(bits | bit, Relaxed);
    }
}

/// The address of an object's mark word, to prefetch.
#[inline(always)]
pub(crate) fn mark_address(object: *const u8) -> *const u8 {
    object.map_addr(|a| (a & !(CHUNK - 1)) + ((a & (CHUNK - 1)) / GRANULE / 64) * 8)
}

/// Whether an object's mark bit is set.
///
/// # Safety
///
/// `object` is an object's address (H1).
#[inline(always)]
pub(crate) unsafe fn is_marked(object: *const u8) -> bool {
    // SAFETY: as for this function.
    let (word, bit) = unsafe { mark_word(object) };
    word.load(Relaxed) & bit != 0
}

/// The type of the object at an address.
///
/// # Safety
///
/// `object` is an object's address (H1).
#[inline(always)]
pub(crate) unsafe fn info_of(object: *const u8) -> &'static TypeInfo {
    // SAFETY: by H1 the header is mapped and the page's info was set to a registered one, which
    // lives for ever, before the object was made.
    unsafe { &*page_info(object).load(Relaxed) }
}

/// The type entry of the page that an address lies on.
///
/// # Safety
///
/// The address lies in a chunk, with its provenance.
#[inline(always)]
pub(crate) unsafe fn page_info<'a>(address: *const u8) -> &'a AtomicPtr<TypeInfo> {
    let page = (address.addr() & (CHUNK - 1)) / PAGE;
    // SAFETY: the caller's address has its chunk's provenance; the page number is in range.
    unsafe { &*(&raw const (*chunk_of(address)).pages).cast::<AtomicPtr<TypeInfo>>().add(page) }
}

/// The address of the type entry of the page that an object lies on, to prefetch.
#[inline(always)]
pub(crate) fn page_info_address(object: *const u8) -> *const u8 {
    const OFFSET: usize = core::mem::offset_of!(Chunk, pages);
    object.map_addr(|a| (a & !(CHUNK - 1)) + OFFSET + (a & (CHUNK - 1)) / PAGE * 8)
}

/// The block record of the block that an address lies in.
///
/// # Safety
///
/// The address lies in a chunk, with its provenance.
#[inline]
pub(crate) unsafe fn block_of(address: *const u8) -> *mut Block {
    let index = (address.addr() & (CHUNK - 1)) / BLOCK;
    // SAFETY: the caller's address has its chunk's provenance; the index is in range.
    unsafe { (&raw mut (*chunk_of(address)).blocks).cast::<Block>().add(index) }
}

/// The first byte of a block, with the chunk's provenance.
///
/// # Safety
///
/// `block` is the record of a block, with the chunk's provenance.
pub(crate) unsafe fn block_base(block: *mut Block) -> *mut u8 {
    let chunk = chunk_of(block.cast::<u8>());
    let offset = block.addr() - chunk.addr() - core::mem::offset_of!(Chunk, blocks);
    chunk.cast::<u8>().wrapping_add(offset / size_of::<Block>() * BLOCK)
}

/// Sets the bit that says that an object waits to be traced.
///
/// # Safety
///
/// `object` is an object's address (H1), and the caller is the marker of its space (V3).
pub(crate) unsafe fn set_untraced(object: *const u8) {
    let pair = granule(object) / 2;
    // SAFETY: as for `mark_word`.
    let word =
        unsafe { &*(&raw const (*chunk_of(object)).untraced).cast::<AtomicU64>().add(pair / 64) };
    let bit = 1 << (pair % 64);
    if is_shared(object) {
        shared_word::set(word, bit);
    } else {
        word.store(word.load(Relaxed) | bit, Relaxed);
    }
}

/// The record of a page of a shared chunk.
///
/// # Safety
///
/// The address lies in a shared chunk, with its provenance.
pub(crate) unsafe fn shared_page(address: *const u8) -> *mut SharedPage {
    let page = (address.addr() & (CHUNK - 1)) / PAGE;
    // SAFETY: the caller's promise; the page number is in range.
    unsafe { (&raw mut (*shared_of(address)).pages).cast::<SharedPage>().add(page) }
}

/// What a shared chunk has behind its header.
///
/// # Safety
///
/// The address lies in a shared chunk, with its provenance.
unsafe fn shared_of(address: *const u8) -> *mut Shared {
    chunk_of(address).cast::<u8>().wrapping_add(HEADER_BLOCKS * BLOCK).cast()
}

/// Makes a page of a shared chunk one of a type, or of none.
///
/// # Safety
///
/// The pool has leased the page, and no span is in it.
pub(crate) unsafe fn set_page_info(page: *const u8, info: Option<&'static TypeInfo>) {
    let info = info.map_or(core::ptr::null_mut(), |info| core::ptr::from_ref(info).cast_mut());
    // SAFETY: the caller's promise.
    unsafe { page_info(page) }.store(info, Relaxed);
}

/// The bits of a block that say what waits to be traced: one for two granules each.
///
/// # Safety
///
/// `block` is the record of a block of a chunk that is not shared, with the chunk's provenance.
pub(crate) unsafe fn untraced_bits<'a>(block: *mut Block) -> Bits<'a> {
    // SAFETY: the caller's promise; the words of a block lie within the array.
    unsafe {
        let first = granule(block_base(block)) / 2 / 64;
        let untraced = (&raw const (*chunk_of(block.cast::<u8>())).untraced).cast::<AtomicU64>();
        Bits::whole(core::slice::from_raw_parts(untraced.add(first), BLOCK_WORDS / 2))
    }
}

/// Bits of a span, or of what is in it: words of its own, or a part of one that it shares with others (H5).
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    words: &'a [AtomicU64],
    /// Where in the word the part begins.
    shift: u32,
    /// The bits of the part, moved to the word's begin; all of them for words of its own.
    mask: u64,
}

impl<'a> Bits<'a> {
    fn whole(words: &'a [AtomicU64]) -> Bits<'a> {
        Bits { words, shift: 0, mask: u64::MAX }
    }

    /// The part of a word that is for one share, of `width` bits.
    fn part(word: &'a AtomicU64, shift: usize, width: usize) -> Bits<'a> {
        Bits { words: core::slice::from_ref(word), shift: shift as u32, mask: (1 << width) - 1 }
    }

    /// How many words it has.
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.words.len()
    }

    /// Its word of that number. A part begins with its first bit.
    #[inline(always)]
    pub(crate) fn load(self, word: usize) -> u64 {
        self.words[word].load(Relaxed) >> self.shift & self.mask
    }

    /// All words, one by one.
    #[inline(always)]
    pub(crate) fn iter(self) -> impl Iterator<Item = u64> + 'a {
        let Bits { words, shift, mask } = self;
        words.iter().map(move |word| word.load(Relaxed) >> shift & mask)
    }

    /// Writes a word. By the only one who writes these bits.
    #[inline(always)]
    pub(crate) fn store(self, word: usize, bits: u64) {
        let here = &self.words[word];
        if self.mask == u64::MAX {
            return here.store(bits, Relaxed);
        }
        shared_word::replace(here, self.load(word) << self.shift, bits << self.shift);
    }

    /// Clears all.
    pub(crate) fn clear(self) {
        (0..self.len()).for_each(|word| self.store(word, 0));
    }
}

/// The span record for the page, or the share, that an address lies on; a span only if one starts there.
///
/// # Safety
///
/// The address lies in a chunk, with its provenance.
#[inline]
pub(crate) unsafe fn span_at(address: *const u8) -> SpanRef {
    let offset = address.addr() & (CHUNK - 1);
    // SAFETY: the caller's address has its chunk's provenance; the numbers of page and share are in range.
    let span = unsafe {
        if is_shared(address) {
            (&raw mut (*shared_of(address)).shares).cast::<Span>().add(offset / SHARE)
        } else {
            (&raw mut (*chunk_of(address)).spans).cast::<Span>().add(offset / PAGE)
        }
    };
    SpanRef(span)
}

/// A span by its record. `Copy`: who may use it is a matter of H4, not of this type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SpanRef(pub(crate) *mut Span);

// SAFETY: a span's record and cells are used by one owner at a time (H4); handing over goes
// through the space's lock or a mutex, which order the accesses.
unsafe impl Send for SpanRef {}
// SAFETY: as above: sharing the address gives no access by itself.
unsafe impl Sync for SpanRef {}

impl SpanRef {
    /// The span's record.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4) and makes no second reference while this one is used.
    #[inline]
    pub(crate) unsafe fn record<'a>(self) -> &'a mut Span {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0 }
    }

    /// How many batches' dead wait in the span for their drops (B3).
    #[inline]
    pub(crate) fn waits<'a>(self) -> &'a AtomicU32 {
        // SAFETY: a span's record stays mapped, and nobody refers to this field otherwise.
        unsafe { &(*self.0).waits }
    }

    /// Bytes from one cell to the next.
    ///
    /// # Safety
    ///
    /// The span is made, and not unmade meanwhile.
    #[inline]
    pub(crate) unsafe fn cell_bytes(self) -> usize {
        // SAFETY: the caller's promise; the field does not change.
        unsafe { (*self.0).cell_bytes }
    }

    /// How the span came by its memory.
    ///
    /// # Safety
    ///
    /// As for [`cell_bytes`](SpanRef::cell_bytes).
    #[inline]
    pub(crate) unsafe fn kind(self) -> SpanKind {
        // SAFETY: as above.
        unsafe { (*self.0).kind }
    }

    /// Bytes of the mapping of a single object with one of its own.
    ///
    /// # Safety
    ///
    /// The span is such an object's.
    pub(crate) unsafe fn mapped_bytes(self) -> usize {
        // SAFETY: the caller's promise; the field does not change.
        unsafe { (*self.0).link }.addr()
    }

    /// Puts the span into a list of those in which objects wait to be traced, in front of `first`; false if it is in one.
    ///
    /// # Safety
    ///
    /// It is a page of a block that spaces share, or a share, and the caller is its space's marker, whose list it is (V3).
    pub(crate) unsafe fn link_untraced(self, first: Option<SpanRef>) -> bool {
        // SAFETY: the caller's promise: nobody else uses the fields.
        unsafe {
            if (*self.0).has_untraced {
                return false;
            }
            (*self.0).has_untraced = true;
            (*self.0).link = first.map_or(core::ptr::null_mut(), |first| first.0);
        }
        true
    }

    /// The next span in the list.
    ///
    /// # Safety
    ///
    /// As for [`link_untraced`](SpanRef::link_untraced); it is in the list.
    pub(crate) unsafe fn next_untraced(self) -> Option<SpanRef> {
        // SAFETY: the caller's promise.
        let next = unsafe { (*self.0).link };
        (!next.is_null()).then_some(SpanRef(next))
    }

    /// Takes the span out of the list, as its first one; returns the next.
    ///
    /// # Safety
    ///
    /// As for [`next_untraced`](SpanRef::next_untraced).
    pub(crate) unsafe fn unlink_untraced(self) -> Option<SpanRef> {
        // SAFETY: the caller's promise.
        unsafe {
            let next = self.next_untraced();
            (*self.0).has_untraced = false;
            (*self.0).link = core::ptr::null_mut();
            next
        }
    }

    /// The bits that say what waits to be traced in the span: one for two granules each.
    ///
    /// # Safety
    ///
    /// As for [`link_untraced`](SpanRef::link_untraced).
    pub(crate) unsafe fn untraced_bits<'a>(self) -> Bits<'a> {
        let first = granule(self.base()) / 2;
        // SAFETY: the words lie in the chunk's header; atomics may be shared.
        unsafe {
            let untraced =
                (&raw const (*self.chunk()).untraced).cast::<AtomicU64>().add(first / 64);
            if is_shared(self.0.cast::<u8>()) {
                return Bits::part(&*untraced, first % 64, SHARE / GRANULE / 2);
            }
            Bits::whole(core::slice::from_raw_parts(untraced, PAGE / GRANULE / 2 / 64))
        }
    }

    /// Notes how many cells a sweep found alive.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4), or sweeps it for a batch that it waits for (B3).
    #[inline]
    pub(crate) unsafe fn set_live_count(self, count: u32) {
        // SAFETY: the caller's promise.
        unsafe { (*self.0).live_count = count };
    }

    /// The chunk of the span.
    #[inline]
    fn chunk(self) -> *mut Chunk {
        chunk_of(self.0.cast::<u8>())
    }

    /// The first byte of the span, with the chunk's provenance.
    #[inline]
    pub(crate) fn base(self) -> *mut u8 {
        let chunk = self.chunk();
        let (first, unit) = if is_shared(chunk.cast()) {
            (HEADER_BLOCKS * BLOCK + core::mem::offset_of!(Shared, shares), SHARE)
        } else {
            (core::mem::offset_of!(Chunk, spans), PAGE)
        };
        let index = (self.0.addr() - chunk.addr() - first) / size_of::<Span>();
        chunk.cast::<u8>().wrapping_add(index * unit)
    }

    /// Bytes of the span that cells may take.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4).
    #[inline]
    pub(crate) unsafe fn bytes(self) -> usize {
        // SAFETY: the caller's promise.
        let (kind, units, cell_bytes) =
            unsafe { ((*self.0).kind, (*self.0).unit_count as usize, (*self.0).cell_bytes) };
        match kind {
            // One cell, which may be of more pages than the record can say.
            SpanKind::Run | SpanKind::Mapping => cell_bytes,
            SpanKind::Share => units * SHARE,
            _ => units * PAGE,
        }
    }

    /// The type of the span's cells.
    ///
    /// # Safety
    ///
    /// The span is made.
    #[inline]
    pub(crate) unsafe fn info(self) -> &'static TypeInfo {
        // SAFETY: the base of a made span is an address of H1 as far as its type goes.
        unsafe { info_of(self.base()) }
    }

    /// The mark bits and the allocation bits of the span's granules.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4).
    #[inline]
    pub(crate) unsafe fn bits<'a>(self) -> (Bits<'a>, Bits<'a>) {
        let first = granule(self.base());
        let chunk = self.chunk();
        // SAFETY: the caller owns the span; the words lie within the arrays, as the span lies within the chunk; atomics may
        // be shared.
        unsafe {
            let marks = (&raw const (*chunk).marks).cast::<AtomicU64>().add(first / 64);
            let allocs = (&raw const (*chunk).allocs).cast::<AtomicU64>().add(first / 64);
            let count = match (*self.0).kind {
                SpanKind::Page | SpanKind::Block => {
                    (*self.0).unit_count as usize * (PAGE / GRANULE / 64)
                }
                // One share has all the bits: what is larger is a single cell.
                SpanKind::Share => {
                    let part = |word| Bits::part(word, first % 64, SHARE / GRANULE);
                    return (part(&*marks), part(&*allocs));
                }
                // A run's or a mapping's one object starts at its base: a page's worth of words is enough.
                _ => PAGE / GRANULE / 64,
            };
            let whole = |words| Bits::whole(core::slice::from_raw_parts(words, count));
            (whole(marks), whole(allocs))
        }
    }

    /// Calls `f` for each object of the span whose mark bit is set.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4).
    pub(crate) unsafe fn for_each_marked(self, mut f: impl FnMut(*const u8)) {
        // SAFETY: the caller's promise.
        for (word, mut bits) in unsafe { self.bits() }.0.iter().enumerate() {
            while bits != 0 {
                let granule = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                f(self.base().wrapping_add(granule * GRANULE));
            }
        }
    }

    /// How many cells fit.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4), and it is made.
    #[inline]
    pub(crate) unsafe fn cell_count(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe {
            match (*self.0).kind {
                SpanKind::Run | SpanKind::Mapping => 1,
                _ => self.bytes() / (*self.0).cell_bytes,
            }
        }
    }

    /// Makes the pages, or shares, from `base` a span.
    ///
    /// # Safety
    ///
    /// They are leased to the caller's space and in no span; their mark and allocation bits are zero. The page of shares is
    /// one of the type.
    pub(crate) unsafe fn make(
        base: NonNull<u8>,
        kind: SpanKind,
        unit_count: usize,
        cell_bytes: usize,
        mapped_bytes: usize,
        info: &'static TypeInfo,
    ) -> SpanRef {
        let base = base.as_ptr();
        // SAFETY: the memory is the caller's, so nobody else reads or writes its records. In a
        // mapping of its own only the first chunk's worth of pages has records.
        unsafe {
            let span = span_at(base);
            *span.0 = Span {
                cell_bytes,
                unit_count: u32::try_from(unit_count).unwrap_or(u32::MAX),
                live_count: 0,
                link: core::ptr::without_provenance_mut(mapped_bytes),
                kind,
                has_untraced: false,
                waits: AtomicU32::new(0),
            };
            if kind == SpanKind::Share {
                return span;
            }
            let first = (base.addr() & (CHUNK - 1)) / PAGE;
            for page in 0..unit_count.min(PAGE_COUNT - first) {
                page_info(base.add(page * PAGE))
                    .store(core::ptr::from_ref(info).cast_mut(), Relaxed);
            }
            span
        }
    }

    /// Forgets the span; its memory belongs to nobody afterwards.
    ///
    /// # Safety
    ///
    /// The caller owns the span (H4); no cell of it is allocated or marked.
    pub(crate) unsafe fn unmake(self) {
        // SAFETY: the caller owns the span and its pages.
        unsafe {
            let pages = (*self.0).unit_count as usize;
            let base = self.base();
            let first = (base.addr() & (CHUNK - 1)) / PAGE;
            let pages = if (*self.0).kind == SpanKind::Share { 0 } else { pages };
            for page in 0..pages.min(PAGE_COUNT - first) {
                page_info(base.add(page * PAGE)).store(core::ptr::null_mut(), Relaxed);
            }
            (*self.0).unit_count = 0;
            (*self.0).kind = SpanKind::None;
        }
    }
}

/// Sets the allocation bits of the cells in `[from, to)`, both cell starts of one span.
///
/// # Safety
///
/// The caller owns the span that the range lies in (H4).
pub(crate) unsafe fn set_alloc_bits(from: *mut u8, to: *mut u8, cell_bytes: usize) {
    let chunk = chunk_of(from);
    // SAFETY: the array lies in the chunk of `from`.
    let allocs = unsafe { (&raw const (*chunk).allocs).cast::<AtomicU64>() };
    let (mut at, end) = (granule(from), granule(from) + (to.addr() - from.addr()) / GRANULE);
    let cells = CellBits::new(cell_bytes / GRANULE);
    while at < end {
        // SAFETY: granule numbers of the span are below the array's length.
        let word = unsafe { &*allocs.add(at / 64) };
        let (bits, next) = cells.in_word(at, end);
        if is_shared(from) {
            shared_word::set(word, bits);
        } else {
            word.store(word.load(Relaxed) | bits, Relaxed);
        }
        at = next;
    }
}

/// The bits of cells of one size, a word at a time.
struct CellBits {
    /// Granules from one cell to the next.
    stride: usize,
    /// A bit for each cell, if the first one begins at the word.
    pattern: u64,
}

impl CellBits {
    fn new(stride: usize) -> CellBits {
        let (mut pattern, mut width) = (1u64, stride);
        while width < 64 {
            pattern |= pattern << width;
            width *= 2;
        }
        CellBits { stride, pattern }
    }

    /// The bits of the cells that begin in the word of granule `at`, where one does, and before granule `end`; and where
    /// the next cell begins.
    #[inline]
    fn in_word(&self, at: usize, end: usize) -> (u64, usize) {
        let mut bits = self.pattern << (at % 64);
        let left = end - at / 64 * 64;
        if left < 64 {
            bits &= (1 << left) - 1;
        }
        (bits, at + (64 - at % 64).div_ceil(self.stride) * self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::CellBits;

    #[test]
    #[cfg_attr(miri, ignore = "every size of cells")]
    fn words_have_a_bit_for_each_cell() {
        for stride in (1..=70).chain([127, 128, 500]) {
            let cells = CellBits::new(stride);
            for begin in [0, 1, 37, 63, 64] {
                for count in [1, 2, 3, 17, 64, 65] {
                    let end = begin + count * stride;
                    let mut words = vec![0u64; end / 64 + 1];
                    let mut at = begin;
                    while at < end {
                        let (bits, next) = cells.in_word(at, end);
                        words[at / 64] |= bits;
                        at = next;
                    }
                    let mut expected = vec![0u64; words.len()];
                    (0..count)
                        .map(|i| begin + i * stride)
                        .for_each(|at| expected[at / 64] |= 1 << (at % 64));
                    assert_eq!(words, expected, "{stride} {begin} {count}");
                }
            }
        }
    }
}
