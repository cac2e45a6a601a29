//! The process-wide pool of chunks. Spaces lease blocks from it and give them back, and single pages of blocks that
//! all spaces share: what a small space holds, and what it leaves when it is merged into another, is pages.
//!
//! Chunks are never unmapped, so that an address which was once in a chunk can always be looked up;
//! what they do not need goes back to the system page by page ([`trim`]). Mappings for single
//! objects are unmapped at once.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::chunk::{block_of, BLOCK, BLOCK_COUNT, BLOCK_PAGES, CHUNK, HEADER_BLOCKS, PAGE};
use crate::os;

/// What kind of blocks a chunk serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BlockUse {
    /// Blocks that many small spans share: no large pages, an idle space must stay small.
    Starter,
    /// Whole blocks for one type, and runs: large pages pay.
    Whole,
}

/// The free pages of a block none of whose pages is used.
const ALL_PAGES: u16 = u16::MAX;
const _: () = assert!(BLOCK_PAGES == u16::BITS as usize);
const BLOCK_MASK: u64 = !((1 << HEADER_BLOCKS) - 1);
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
    open: [Vec<usize>; 2],
    mappings: HashMap<usize, usize>,
    whole_chunks: usize,
    free_blocks: usize,
    leased_blocks: usize,
    /// Shared blocks that have free pages, the one to take from last.
    starters: Vec<NonNull<u8>>,
    /// How many of these have no page that is used: one at most.
    empty_starters: usize,
}

// SAFETY: blocks by their addresses; what lies there is guarded by H4.
unsafe impl Send for Pool {}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);
static MAPPED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of address space that the process holds for all spaces.
pub(crate) fn mapped_bytes() -> usize {
    MAPPED_BYTES.load(Relaxed)
}

fn assert_addressable(base: NonNull<u8>, size: usize) {
    // `NanBox` keeps an address in 48 bits of which the top one is clear.
    assert!((base.addr().get() + size) >> 47 == 0, "memory mapped above 47 bits of address");
}

impl Pool {
    fn add_chunk(&mut self, use_: BlockUse) -> Option<usize> {
        let base = os::reserve(CHUNK, CHUNK)?;
        assert_addressable(base, CHUNK);
        if use_ == BlockUse::Whole {
            self.whole_chunks += 1;
            if self.whole_chunks > SMALL_CHUNKS {
                os::advise_huge(base, CHUNK);
            }
        }
        MAPPED_BYTES.fetch_add(CHUNK, Relaxed);
        let index = self.chunks.len();
        self.chunks.push(ChunkEntry { base, use_, free: BLOCK_MASK, decommitted: 0, listed: true });
        self.by_base.insert(base.addr().get(), index);
        self.open[use_ as usize].push(index);
        self.free_blocks += BLOCK_COUNT - HEADER_BLOCKS;
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
            None => (self.add_chunk(use_)?, HEADER_BLOCKS),
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

    fn lease_page(&mut self) -> Option<NonNull<u8>> {
        if self.starters.is_empty() {
            let starter = self.lease(BlockUse::Starter, 1)?;
            // SAFETY: just leased.
            unsafe { (*block_of(starter.as_ptr())).free_pages = ALL_PAGES };
            self.list_starter(starter);
            self.empty_starters += 1;
        }
        let starter = *self.starters.last().expect("one was added if there was none");
        // SAFETY: records of shared blocks are the pool's, which is locked.
        let free = unsafe { &mut (*block_of(starter.as_ptr())).free_pages };
        self.empty_starters -= usize::from(*free == ALL_PAGES);
        let page = free.trailing_zeros() as usize;
        *free &= *free - 1;
        if *free == 0 {
            self.starters.pop();
        }
        // SAFETY: the page lies in the block.
        Some(unsafe { starter.add(page * PAGE) })
    }

    fn give_back_page(&mut self, page: NonNull<u8>) {
        let offset = page.addr().get() % BLOCK;
        // SAFETY: the page lies in its block.
        let starter = unsafe { page.sub(offset) };
        // SAFETY: records of shared blocks are the pool's, which is locked.
        let record = unsafe { &mut *block_of(starter.as_ptr()) };
        let was_full = record.free_pages == 0;
        record.free_pages |= 1 << (offset / PAGE);
        let (is_empty, place) = (record.free_pages == ALL_PAGES, record.place as usize);
        if was_full {
            self.list_starter(starter);
        } else if is_empty && self.empty_starters > 0 {
            self.starters.swap_remove(place);
            if let Some(moved) = self.starters.get(place) {
                // SAFETY: as above.
                unsafe { (*block_of(moved.as_ptr())).place = place as u32 };
            }
            self.give_back(starter, 1);
        } else if is_empty {
            self.empty_starters += 1;
        }
    }

    fn list_starter(&mut self, starter: NonNull<u8>) {
        // SAFETY: records of shared blocks are the pool's, which is locked.
        unsafe { (*block_of(starter.as_ptr())).place = self.starters.len() as u32 };
        self.starters.push(starter);
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
    POOL.lock().lease_page()
}

/// Gives a leased page back.
///
/// # Safety
///
/// The caller's space leased the page; no span is made in it and its bits are zero.
pub(crate) unsafe fn give_back_page(page: NonNull<u8>) {
    POOL.lock().give_back_page(page);
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
    let base = os::reserve(mapped, CHUNK)?;
    assert_addressable(base, mapped);
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
    unsafe { os::release(base, mapped, CHUNK) };
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

    #[test]
    fn runs_are_found_where_they_are() {
        assert_eq!(find_run(0b1110_0110, 3), Some(5));
        assert_eq!(find_run(0b1110_0110, 2), Some(1));
        assert_eq!(find_run(0b1110_0110, 4), None);
        assert_eq!(find_run(BLOCK_MASK, 62), Some(2));
        assert_eq!(find_run(0, 1), None);
    }

    #[test]
    fn pages_share_blocks_and_empty_blocks_go_back() {
        const BLOCKS: usize = if cfg!(miri) { 3 } else { 100 };
        let mut pool = Pool::default();
        let mut pages: Vec<_> =
            (0..BLOCKS * BLOCK_PAGES).map(|_| pool.lease_page().unwrap()).collect();
        assert_eq!((pool.leased_blocks, pool.starters.len(), pool.empty_starters), (BLOCKS, 0, 0));
        let distinct: std::collections::HashSet<_> = pages.iter().copied().collect();
        assert_eq!(distinct.len(), pages.len());
        // Every other page of each block, and then the rest, the first blocks last.
        for (i, page) in pages.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
            pool.give_back_page(*page);
            assert_eq!(pool.starters.len(), i / BLOCK_PAGES + 1);
        }
        pages.iter().enumerate().rev().filter(|(i, _)| i % 2 == 1).for_each(|(_, page)| {
            pool.give_back_page(*page);
        });
        assert_eq!((pool.leased_blocks, pool.starters.len(), pool.empty_starters), (1, 1, 1));
        pages = (0..BLOCK_PAGES).map(|_| pool.lease_page().unwrap()).collect();
        assert_eq!((pool.leased_blocks, pool.starters.len(), pool.empty_starters), (1, 0, 0));
        pages.iter().for_each(|page| pool.give_back_page(*page));
        assert_eq!((pool.leased_blocks, pool.starters.len(), pool.empty_starters), (1, 1, 1));
        // This pool ends, so its chunks would be lost.
        for chunk in &pool.chunks {
            // SAFETY: they are `add_chunk`'s; all pages are back, and nothing looks at the pool any more.
            unsafe { os::release(chunk.base, CHUNK, CHUNK) };
        }
    }

    #[test]
    fn run_masks_cover_exactly_their_blocks() {
        assert_eq!(run_mask(2, 3), 0b11100);
        assert_eq!(run_mask(0, 64), u64::MAX);
    }
}
