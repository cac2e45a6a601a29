//! The process-wide pool of chunks. Spaces lease blocks from it and give them back, single pages of blocks that
//! they share, and shares of pages: what a small space holds, and what it leaves when it is merged into another, is shares.
//!
//! Chunks are never unmapped, so that an address which was once in a chunk can always be looked up;
//! what they do not need goes back to the system page by page ([`trim`]). Mappings for single
//! objects are unmapped at once.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::chunk::{
    block_of, info_of, is_shared, set_page_info, shared_page, BLOCK, BLOCK_COUNT, BLOCK_PAGES,
    CHUNK, HEADER_BLOCKS, PAGE, PAGE_SHARES, SHARE, SHARED_HEADER_BLOCKS,
};
use crate::os;
use crate::type_info::TypeInfo;

/// What kind of blocks a chunk serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BlockUse {
    /// Blocks that many small spans share: no large pages, an idle space must stay small.
    Starter,
    /// Whole blocks for one type, and runs: large pages pay.
    Whole,
    /// Blocks whose pages are for shares. Their chunks are the shared ones.
    Shared,
}

impl BlockUse {
    /// Blocks that the header of a chunk takes.
    fn header_blocks(self) -> usize {
        match self {
            BlockUse::Shared => SHARED_HEADER_BLOCKS,
            _ => HEADER_BLOCKS,
        }
    }

    /// How far behind an even multiple of its size a chunk lies: that says what it is for.
    fn offset(self) -> usize {
        match self {
            BlockUse::Shared => CHUNK,
            _ => 0,
        }
    }
}

/// The free shares of a page none of which is used.
const ALL_SHARES: u16 = u16::MAX;
const _: () = assert!(PAGE_SHARES == u16::BITS as usize);
/// In so many pages of a type it is looked for several shares in a row, before they come from a fresh one.
const PAGES_TRIED: usize = 8;

/// The free pages of a block none of whose pages is used.
const ALL_PAGES: u16 = u16::MAX;
const _: () = assert!(BLOCK_PAGES == u16::BITS as usize);
/// Free memory above this and above what is leased goes back to the system: a heap that is collected
/// when it has doubled needs as much again until the next time.
const KEEP_FREE: usize = 64 << 20;

/// So many chunks of whole blocks have small pages: with large ones a process whose heap is small would be some
/// MiB larger than it needs to be.
const SMALL_CHUNKS: usize = 2;

struct ChunkEntry {
    base: NonNull<u8>,
    use_: BlockUse,
    /// A bit for each block that is free.
    free: u64,
    /// Of the free ones, those whose pages the system has back.
    decommitted: u64,
    /// Whether the chunk is on its stack of chunks with free blocks.
    listed: bool,
}

// SAFETY: the base is an address; what lies there is guarded by H4.
unsafe impl Send for ChunkEntry {}

#[derive(Default)]
struct Pool {
    chunks: Vec<ChunkEntry>,
    by_base: HashMap<usize, usize>,
    /// Chunks that have free blocks, the one to take from last.
    open: [Vec<usize>; 3],
    mappings: HashMap<usize, usize>,
    whole_chunks: usize,
    free_blocks: usize,
    leased_blocks: usize,
    /// Blocks of single pages that have free ones.
    starters: PagedBlocks,
    /// And those whose pages are for shares.
    shared: PagedBlocks,
    /// For each type its pages with free shares, the one to take from last.
    pages_of: HashMap<usize, Vec<NonNull<u8>>>,
}

/// Blocks that have free pages.
#[derive(Default)]
struct PagedBlocks {
    /// The one to take from last.
    blocks: Vec<NonNull<u8>>,
    /// How many of these have no page that is used: one at most.
    empty: usize,
}

impl PagedBlocks {
    /// Adds a block.
    fn push(&mut self, block: NonNull<u8>) {
        // SAFETY: H6: the pool is locked.
        unsafe { (*block_of(block.as_ptr())).place = self.blocks.len() as u32 };
        self.blocks.push(block);
    }

    /// Takes a page of the last block.
    fn take(&mut self) -> Option<NonNull<u8>> {
        let block = *self.blocks.last()?;
        // SAFETY: H6: the pool is locked.
        let free = unsafe { &mut (*block_of(block.as_ptr())).free_pages };
        self.empty -= usize::from(*free == ALL_PAGES);
        let page = free.trailing_zeros() as usize;
        *free &= *free - 1;
        if *free == 0 {
            self.blocks.pop();
        }
        // SAFETY: the page lies in the block.
        Some(unsafe { block.add(page * PAGE) })
    }

    /// Takes a page back. If its block is empty now, and another one is, the block is returned.
    fn put(&mut self, page: NonNull<u8>) -> Option<NonNull<u8>> {
        let offset = page.addr().get() % BLOCK;
        // SAFETY: the page lies in its block.
        let block = unsafe { page.sub(offset) };
        // SAFETY: H6: the pool is locked.
        let record = unsafe { &mut *block_of(block.as_ptr()) };
        let was_full = record.free_pages == 0;
        record.free_pages |= 1 << (offset / PAGE);
        let (is_empty, place) = (record.free_pages == ALL_PAGES, record.place as usize);
        if was_full {
            self.push(block);
        } else if is_empty && self.empty > 0 {
            self.blocks.swap_remove(place);
            if let Some(moved) = self.blocks.get(place) {
                // SAFETY: as above.
                unsafe { (*block_of(moved.as_ptr())).place = place as u32 };
            }
            return Some(block);
        } else if is_empty {
            self.empty += 1;
        }
        None
    }
}

// SAFETY: blocks by their addresses; what lies there is guarded by H4.
unsafe impl Send for Pool {}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);
static MAPPED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of address space that the process holds for all spaces.
pub(crate) fn mapped_bytes() -> usize {
    MAPPED_BYTES.load(Relaxed)
}

impl Pool {
    fn add_chunk(&mut self, use_: BlockUse) -> Option<usize> {
        let base = os::reserve(CHUNK, 2 * CHUNK, use_.offset())?;
        debug_assert_eq!(is_shared(base.as_ptr()), use_ == BlockUse::Shared);
        if use_ == BlockUse::Whole {
            self.whole_chunks += 1;
            if self.whole_chunks > SMALL_CHUNKS {
                os::advise_huge(base, CHUNK);
            }
        }
        MAPPED_BYTES.fetch_add(CHUNK, Relaxed);
        let index = self.chunks.len();
        let header = use_.header_blocks();
        let free = !run_mask(0, header);
        self.chunks.push(ChunkEntry { base, use_, free, decommitted: 0, listed: true });
        self.by_base.insert(base.addr().get(), index);
        self.open[use_ as usize].push(index);
        self.free_blocks += BLOCK_COUNT - header;
        Some(index)
    }

    fn take(&mut self, chunk: usize, first: usize, count: usize) -> NonNull<u8> {
        let entry = &mut self.chunks[chunk];
        let mask = run_mask(first, count);
        debug_assert_eq!(entry.free & mask, mask);
        entry.free &= !mask;
        entry.decommitted &= !mask;
        self.free_blocks -= count;
        self.leased_blocks += count;
        // SAFETY: the block lies in the chunk.
        unsafe { entry.base.add(first * BLOCK) }
    }

    fn lease(&mut self, use_: BlockUse, count: usize) -> Option<NonNull<u8>> {
        // The chunk on top of the stack first: what was freed last is warm.
        while let Some(&chunk) = self.open[use_ as usize].last() {
            if self.chunks[chunk].free != 0 {
                break;
            }
            self.chunks[chunk].listed = false;
            self.open[use_ as usize].pop();
        }
        let found = self.open[use_ as usize].iter().rev().find_map(|&chunk| {
            find_run(self.chunks[chunk].free, count).map(|first| (chunk, first))
        });
        let (chunk, first) = match found {
            Some(found) => found,
            None => (self.add_chunk(use_)?, use_.header_blocks()),
        };
        Some(self.take(chunk, first, count))
    }

    fn give_back(&mut self, base: NonNull<u8>, count: usize) {
        let chunk = self.by_base[&(base.addr().get() & !(CHUNK - 1))];
        let first = (base.addr().get() & (CHUNK - 1)) / BLOCK;
        let entry = &mut self.chunks[chunk];
        entry.free |= run_mask(first, count);
        if !entry.listed {
            entry.listed = true;
            self.open[entry.use_ as usize].push(chunk);
        }
        self.free_blocks += count;
        self.leased_blocks -= count;
    }

    fn paged(&mut self, use_: BlockUse) -> &mut PagedBlocks {
        match use_ {
            BlockUse::Shared => &mut self.shared,
            _ => &mut self.starters,
        }
    }

    fn lease_page(&mut self, use_: BlockUse) -> Option<NonNull<u8>> {
        if self.paged(use_).blocks.is_empty() {
            let block = self.lease(use_, 1)?;
            // SAFETY: just leased.
            unsafe { (*block_of(block.as_ptr())).free_pages = ALL_PAGES };
            let paged = self.paged(use_);
            paged.push(block);
            paged.empty += 1;
        }
        self.paged(use_).take()
    }

    fn give_back_page(&mut self, page: NonNull<u8>, use_: BlockUse) {
        if let Some(empty) = self.paged(use_).put(page) {
            self.give_back(empty, 1);
        }
    }

    /// Leases shares in a row, of a page of a type.
    fn lease_share(&mut self, info: &'static TypeInfo, count: usize) -> Option<NonNull<u8>> {
        let key = core::ptr::from_ref(info).addr();
        let pages = self.pages_of.entry(key).or_default();
        let found = pages.iter().rev().take(PAGES_TRIED).find_map(|page| {
            // SAFETY: H6: the pool is locked.
            let free = unsafe { (*shared_page(page.as_ptr())).free };
            find_run(u64::from(free), count).map(|first| (*page, first))
        });
        let (page, first) = match found {
            Some(found) => found,
            None => {
                let page = self.lease_page(BlockUse::Shared)?;
                let pages = self.pages_of.entry(key).or_default();
                // SAFETY: just leased, and no span is in it; its record is the pool's.
                unsafe {
                    set_page_info(page.as_ptr(), Some(info));
                    let record = shared_page(page.as_ptr());
                    ((*record).free, (*record).place) = (ALL_SHARES, pages.len() as u32);
                }
                pages.push(page);
                (page, 0)
            }
        };
        // SAFETY: as above.
        let record = unsafe { &mut *shared_page(page.as_ptr()) };
        record.free &= !(run_mask(first, count) as u16);
        if record.free == 0 {
            let place = record.place as usize;
            self.unlist_page(key, place);
        }
        // SAFETY: the shares lie in the page.
        Some(unsafe { page.add(first * SHARE) })
    }

    /// Takes a page out of the list of those of its type with free shares.
    fn unlist_page(&mut self, key: usize, place: usize) {
        let pages = self.pages_of.entry(key).or_default();
        pages.swap_remove(place);
        if let Some(moved) = pages.get(place) {
            // SAFETY: H6: the pool is locked.
            unsafe { (*shared_page(moved.as_ptr())).place = place as u32 };
        }
    }

    /// Takes shares back.
    fn give_back_share(&mut self, share: NonNull<u8>, count: usize) {
        let offset = share.addr().get() % PAGE;
        // SAFETY: the share lies in its page.
        let page = unsafe { share.sub(offset) };
        // SAFETY: a page of which a share is leased has a type (H6).
        let key = core::ptr::from_ref(unsafe { info_of(page.as_ptr()) }).addr();
        // SAFETY: H6: the pool is locked.
        let record = unsafe { &mut *shared_page(page.as_ptr()) };
        let was_full = record.free == 0;
        record.free |= run_mask(offset / SHARE, count) as u16;
        let (is_empty, place) = (record.free == ALL_SHARES, record.place as usize);
        if is_empty {
            if !was_full {
                self.unlist_page(key, place);
            }
            // SAFETY: nothing is in the page any more.
            unsafe { set_page_info(page.as_ptr(), None) };
            self.give_back_page(page, BlockUse::Shared);
        } else if was_full {
            let pages = self.pages_of.entry(key).or_default();
            record.place = pages.len() as u32;
            pages.push(page);
        }
    }

    fn trim(&mut self) {
        let keep = (KEEP_FREE / BLOCK).max(self.leased_blocks);
        let committed_free: usize =
            self.chunks.iter().map(|c| (c.free & !c.decommitted).count_ones() as usize).sum();
        let mut surplus = committed_free.saturating_sub(keep);
        for entry in &mut self.chunks {
            let mut candidates = entry.free & !entry.decommitted;
            while surplus > 0 && candidates != 0 {
                let first = candidates.trailing_zeros() as usize;
                let count =
                    (!(candidates >> first)).trailing_zeros().min(64 - first as u32) as usize;
                // SAFETY: the blocks are free, so nothing in them is needed.
                unsafe { os::decommit(entry.base.add(first * BLOCK), count * BLOCK) };
                let mask = run_mask(first, count);
                entry.decommitted |= mask;
                candidates &= !mask;
                surplus = surplus.saturating_sub(count);
            }
        }
    }
}

fn run_mask(first: usize, count: usize) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        ((1 << count) - 1) << first
    }
}

/// The first of `count` set bits in a row.
fn find_run(free: u64, count: usize) -> Option<usize> {
    let mut starts = free;
    for shift in 1..count {
        starts &= free >> shift;
    }
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

/// Leases `count` blocks in a row; `None` when the system has no memory.
///
/// Their mark and allocation bits are zero, no span is made in them, their contents are arbitrary.
pub(crate) fn lease_blocks(count: usize) -> Option<NonNull<u8>> {
    debug_assert!((1..=BLOCK_COUNT - HEADER_BLOCKS).contains(&count));
    POOL.lock().lease(BlockUse::Whole, count)
}

/// Leases a page of a block that spaces share; `None` when the system has no memory.
///
/// Its mark and allocation bits are zero, no span is made in it, its contents are arbitrary.
pub(crate) fn lease_page() -> Option<NonNull<u8>> {
    POOL.lock().lease_page(BlockUse::Starter)
}

/// Leases shares in a row, of a page of the type; `None` when the system has no memory.
///
/// Their mark and allocation bits are zero, no span is made in them, their contents are arbitrary.
pub(crate) fn lease_share(info: &'static TypeInfo, count: usize) -> Option<NonNull<u8>> {
    debug_assert!((1..=PAGE_SHARES).contains(&count));
    POOL.lock().lease_share(info, count)
}

/// Gives leased shares back.
///
/// # Safety
///
/// The caller's space leased the shares together; no span is made in them and their bits are zero.
pub(crate) unsafe fn give_back_share(share: NonNull<u8>, count: usize) {
    POOL.lock().give_back_share(share, count);
}

/// Whether an address is in a share that no space has leased.
pub(crate) fn is_free_share(address: *const u8) -> bool {
    let _pool = POOL.lock();
    // SAFETY: the caller's address has its chunk's provenance; H6: the pool is locked.
    is_shared(address)
        && unsafe { (*shared_page(address)).free } >> (address.addr() % PAGE / SHARE) & 1 != 0
}

/// Gives a leased page back.
///
/// # Safety
///
/// The caller's space leased the page; no span is made in it and its bits are zero.
pub(crate) unsafe fn give_back_page(page: NonNull<u8>) {
    POOL.lock().give_back_page(page, BlockUse::Starter);
}

/// Gives leased blocks back.
///
/// # Safety
///
/// The caller's space leased the blocks; no span is made in them and their bits are zero.
pub(crate) unsafe fn give_back_blocks(base: NonNull<u8>, count: usize) {
    POOL.lock().give_back(base, count);
}

/// Lets the system have memory that has been free for a while.
pub(crate) fn trim() {
    POOL.lock().trim();
}

/// Maps memory for one object of `bytes`: the mapping's bytes, and where the object goes.
pub(crate) fn map_object(bytes: usize) -> Option<(NonNull<u8>, usize)> {
    let header = HEADER_BLOCKS * BLOCK;
    let mapped = bytes.checked_add(header)?.checked_next_multiple_of(CHUNK)?;
    let base = os::reserve(mapped, 2 * CHUNK, 0)?;
    MAPPED_BYTES.fetch_add(mapped, Relaxed);
    POOL.lock().mappings.insert(base.addr().get(), mapped);
    // SAFETY: the object goes behind the header of the fresh mapping.
    Some((unsafe { base.add(header) }, mapped))
}

/// Unmaps what [`map_object`] gave.
///
/// # Safety
///
/// `object` and `mapped` are those of one `map_object`; nothing uses the memory any more.
pub(crate) unsafe fn unmap_object(object: NonNull<u8>, mapped: usize) {
    // SAFETY: the mapping begins a header before the object.
    let base = unsafe { object.sub(HEADER_BLOCKS * BLOCK) };
    POOL.lock().mappings.remove(&base.addr().get());
    MAPPED_BYTES.fetch_sub(mapped, Relaxed);
    // SAFETY: the caller's promise.
    unsafe { os::release(base, mapped, 2 * CHUNK, 0) };
}

/// Gives an object's own mapping's pages back to the system, but keeps the mapping.
///
/// # Safety
///
/// `object` came from [`map_object`] for `bytes`; nothing in it is needed.
pub(crate) unsafe fn decommit_object(object: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { os::decommit(object, bytes) };
}

/// Whether an address lies in memory that has a chunk header in front of it.
pub(crate) fn is_mapped(address: usize) -> bool {
    let base = address & !(CHUNK - 1);
    let pool = POOL.lock();
    pool.by_base.contains_key(&base) || pool.mappings.contains_key(&base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::page_info;
    use crate::type_info::register;
    use crate::Static;

    #[test]
    fn runs_are_found_where_they_are() {
        assert_eq!(find_run(0b1110_0110, 3), Some(5));
        assert_eq!(find_run(0b1110_0110, 2), Some(1));
        assert_eq!(find_run(0b1110_0110, 4), None);
        assert_eq!(find_run(!run_mask(0, HEADER_BLOCKS), 62), Some(2));
        assert_eq!(find_run(0, 1), None);
    }

    #[test]
    fn pages_share_blocks_and_empty_blocks_go_back() {
        const BLOCKS: usize = if cfg!(miri) { 3 } else { 100 };
        let mut pool = Pool::default();
        let mut pages: Vec<_> = (0..BLOCKS * BLOCK_PAGES)
            .map(|_| pool.lease_page(BlockUse::Starter).unwrap())
            .collect();
        assert_eq!(
            (pool.leased_blocks, pool.starters.blocks.len(), pool.starters.empty),
            (BLOCKS, 0, 0)
        );
        let distinct: std::collections::HashSet<_> = pages.iter().copied().collect();
        assert_eq!(distinct.len(), pages.len());
        // Every other page of each block, and then the rest, the first blocks last.
        for (i, page) in pages.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
            pool.give_back_page(*page, BlockUse::Starter);
            assert_eq!(pool.starters.blocks.len(), i / BLOCK_PAGES + 1);
        }
        pages.iter().enumerate().rev().filter(|(i, _)| i % 2 == 1).for_each(|(_, page)| {
            pool.give_back_page(*page, BlockUse::Starter);
        });
        assert_eq!(
            (pool.leased_blocks, pool.starters.blocks.len(), pool.starters.empty),
            (1, 1, 1)
        );
        pages = (0..BLOCK_PAGES).map(|_| pool.lease_page(BlockUse::Starter).unwrap()).collect();
        assert_eq!(
            (pool.leased_blocks, pool.starters.blocks.len(), pool.starters.empty),
            (1, 0, 0)
        );
        pages.iter().for_each(|page| pool.give_back_page(*page, BlockUse::Starter));
        assert_eq!(
            (pool.leased_blocks, pool.starters.blocks.len(), pool.starters.empty),
            (1, 1, 1)
        );
        end(&pool);
    }

    /// This pool ends, so its chunks would be lost.
    fn end(pool: &Pool) {
        for chunk in &pool.chunks {
            // SAFETY: they are `add_chunk`'s; all is given back, and nothing looks at the pool any more.
            unsafe { os::release(chunk.base, CHUNK, 2 * CHUNK, chunk.use_.offset()) };
        }
    }

    #[test]
    fn shares_of_a_page_are_of_one_type_and_empty_pages_go_back() {
        let (numbers, texts) = (register::<u64>(), register::<Static<String>>());
        let mut pool = Pool::default();
        let page_of = |share: &NonNull<u8>| share.addr().get() / PAGE;
        let few: Vec<_> = (0..3).map(|_| pool.lease_share(numbers, 1).unwrap()).collect();
        let other = pool.lease_share(texts, 1).unwrap();
        assert!(few.iter().all(|share| page_of(share) == page_of(&few[0])));
        assert_ne!(page_of(&other), page_of(&few[0]));
        assert!(is_shared(other.as_ptr()));
        // Holes of one are no room for two in a row.
        pool.give_back_share(few[1], 1);
        let pair = pool.lease_share(numbers, 2).unwrap();
        assert_eq!(pair.addr().get(), few[2].addr().get() + SHARE);
        assert_eq!(pool.lease_share(numbers, 1), Some(few[1]));
        // The rest of the page, and another one; then the first one has room again.
        let rest: Vec<_> = (0..11).map(|_| pool.lease_share(numbers, 1).unwrap()).collect();
        assert!(rest.iter().all(|share| page_of(share) == page_of(&few[0])));
        let next = pool.lease_share(numbers, 16).unwrap();
        assert_ne!(page_of(&next), page_of(&few[0]));
        let key = core::ptr::from_ref(numbers).addr();
        assert!(pool.pages_of[&key].is_empty());
        pool.give_back_share(rest[4], 1);
        assert_eq!(pool.lease_share(numbers, 1), Some(rest[4]));
        for share in few.into_iter().chain(rest) {
            pool.give_back_share(share, 1);
        }
        pool.give_back_share(pair, 2);
        assert!(pool.pages_of[&key].is_empty());
        // SAFETY: the page is in a chunk.
        assert!(unsafe { page_info(pair.as_ptr()) }.load(Relaxed).is_null());
        pool.give_back_share(next, 16);
        pool.give_back_share(other, 1);
        assert_eq!((pool.shared.blocks.len(), pool.shared.empty), (1, 1));
        end(&pool);
    }

    #[test]
    fn run_masks_cover_exactly_their_blocks() {
        assert_eq!(run_mask(2, 3), 0b11100);
        assert_eq!(run_mask(0, 64), u64::MAX);
    }
}
