//! [`EvictableMap`]: a hash table whose values the space keeps while it can afford to.
//!
//! Entries lie in slots and are found by an index of slot numbers. With a limit of its own the map also has a queue
//! of its entries by when they were touched last. A touch does not move an entry, as readers touch beside each
//! other without a lock; so the queue says when an entry was *known* to have been touched, which is that moment or
//! an earlier one. Whoever looks for the oldest puts an entry that was touched since back in its new place:
//!
//! - **L1 (early).** The queue has every entry once, with a touch that is not later than its last one.

use core::borrow::Borrow;
use core::cmp::Reverse;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use std::collections::hash_map::RandomState;
use std::collections::BinaryHeap;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use cspace_core::collector::panic_message;
use cspace_core::{Access, Alloc, Evictable, Gc, IObject, Static};
use hashbrown::HashTable;

/// Entries that a map has before it looks for evicted ones when one is inserted.
const PURGE_MIN: usize = 16;

/// A hash table from keys to objects that the space keeps while it can afford to: an [`Evictable`] for each key.
///
/// For what can be made again: compiled code, parsed files, rendered pages. Objects that a collection lets go of are
/// not found any more; their entries go when they are come across, or with [`purge`](EvictableMap::purge), which
/// insertions do now and then. Beside the threshold of the space, which is for all its evictable objects, a map can
/// have a limit of its own, which insertions keep by removing what was touched least recently.
///
/// It is a part of an object, like a `HashMap`: in a [`GcCell`](cspace_core::GcCell), an
/// [`OwnedRoot`](cspace_core::OwnedRoot). [`get`](EvictableMap::get) takes `&self` and touches, so that many threads
/// read one map at a time. For a cache that threads outside of the heap share, with loading, see
/// [`EvictableCache`](crate::EvictableCache).
///
/// ```
/// use cspace_core::Space;
/// use cspace_evict::{EvictableMap, MapLimit};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let mut squares = EvictableMap::with_limit(MapLimit::Entries(2));
///     for n in 1..=2u64 {
///         squares.insert(cx, n, cx.evictable(cx.alloc(n * n)));
///     }
///     assert_eq!(*squares.get(cx, &1).unwrap(), 1);
///     squares.insert(cx, 3, cx.evictable(cx.alloc(9)));
///     assert!(squares.get(cx, &2).is_none(), "touched least recently");
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
#[derive(IObject)]
#[cspace(crate = cspace_core)]
pub struct EvictableMap<'gc, K, V> {
    /// None: free, and in `free`.
    slots: Vec<Option<Entry<'gc, K, V>>>,
    table: Static<Table>,
}

#[derive(IObject)]
#[cspace(crate = cspace_core)]
struct Entry<'gc, K, V> {
    key: K,
    value: Evictable<'gc, V>,
    hash: u64,
    /// What the value stood for when it was inserted.
    bytes: usize,
    /// With which touch the entry is in the queue.
    queued: u64,
}

/// What a map has besides its entries.
#[derive(Default)]
struct Table {
    hasher: RandomState,
    /// Numbers of slots.
    index: HashTable<u32>,
    free: Vec<u32>,
    limit: Option<MapLimit>,
    /// Slots by touch (L1), the least recent first, and some that have changed since. Empty without a limit.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    /// Of all entries. Wide enough for the largest sizes.
    bytes: u128,
    /// With how many entries to look for evicted ones.
    purge_at: usize,
}

/// What an [`EvictableMap`] holds at most. Entries of objects that a collection let go of count until they are
/// removed, which an insertion does with those that it comes across.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapLimit {
    /// So many entries.
    Entries(usize),
    /// Entries whose values stood for so many bytes when they were inserted. A value that stands for more by itself is
    /// not put in.
    Bytes(usize),
}

impl<K, V> Default for EvictableMap<'_, K, V> {
    fn default() -> Self {
        let table = Table { purge_at: PURGE_MIN, ..Table::default() };
        EvictableMap { slots: Vec::new(), table: Static(table) }
    }
}

impl<'gc, K, V> EvictableMap<'gc, K, V>
where
    K: IObject<'gc> + Hash + Eq + 'gc,
    V: IObject<'gc> + 'gc,
{
    /// An empty map without a limit of its own.
    pub fn new() -> Self {
        EvictableMap::default()
    }

    /// An empty map with a limit of its own.
    pub fn with_limit(limit: MapLimit) -> Self {
        let mut map = EvictableMap::default();
        map.table.limit = Some(limit);
        map
    }

    /// The limit of the map's own.
    pub fn limit(&self) -> Option<MapLimit> {
        self.table.limit
    }

    /// Sets the limit of the map's own, and removes what is over it.
    pub fn set_limit(&mut self, cx: &Alloc<'gc>, limit: Option<MapLimit>) {
        let table = &mut *self.table;
        table.limit = limit;
        table.queue.clear();
        if limit.is_none() {
            return;
        }
        for (slot, entry) in self.slots.iter_mut().enumerate() {
            if let Some(entry) = entry {
                entry.queued = entry.value.last_touch(cx);
                table.queue.push(Reverse((entry.queued, slot as u32)));
            }
        }
        let mut gone = Vec::new();
        for slot in 0..self.slots.len() {
            // Those that can never fit go first, so that nothing else has to for them.
            if self.slots[slot].as_ref().is_some_and(|entry| !self.fits(entry.bytes)) {
                gone.extend(self.remove_slot(slot as u32));
            }
        }
        self.keep_limit(cx, &mut gone);
        drop_all(gone);
    }

    /// The object for a key, unless it was let go of. Touches it.
    #[inline]
    pub fn get<Q>(&self, cx: &impl Access<'gc>, key: &Q) -> Option<Gc<'gc, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.evictable(key)?.get(cx)
    }

    /// As [`get`](EvictableMap::get), without touching.
    pub fn peek<Q>(&self, cx: &impl Access<'gc>, key: &Q) -> Option<Gc<'gc, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.evictable(key)?.peek(cx)
    }

    /// Whether there is an object for the key. Does not touch it.
    pub fn contains_key<Q>(&self, cx: &impl Access<'gc>, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek(cx, key).is_some()
    }

    /// The reference for a key, whose object may have been let go of: to set its size, or to pin it.
    #[inline]
    pub fn evictable<Q>(&self, key: &Q) -> Option<Evictable<'gc, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let slot = self.slot_of(self.table.hasher.hash_one(key), key)?;
        self.slots[slot as usize].as_ref().map(|entry| entry.value)
    }

    #[inline]
    fn slot_of<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = |slot: &u32| {
            let entry = self.slots[*slot as usize].as_ref();
            entry.is_some_and(|entry| entry.hash == hash && entry.key.borrow() == key)
        };
        self.table.index.find(hash, is_it).copied()
    }

    /// Puts a reference in for a key, as touched now; returns the object that was there. Then keeps the map's own limit:
    /// the least recently touched go. A reference that stands for more than the limit by itself is not put in, and no
    /// other entry goes for it; nor is one whose object was let go of. What was there for the key is removed even so.
    ///
    /// In an object's cell, where a map cannot be borrowed together with the whole token, the reference is made first:
    ///
    /// ```
    /// use cspace_core::{GcCell, Space};
    /// use cspace_evict::EvictableMap;
    ///
    /// let space = Space::builder().build()?;
    /// space.exclusive(|cx| {
    ///     let map = cx.alloc(GcCell::new(EvictableMap::new()));
    ///     let page = cx.evictable(cx.alloc("page".to_string()));
    ///     let (alloc, cells) = cx.split();
    ///     map.borrow_mut(cells).insert(alloc, 1u32, page);
    ///     assert!(map.borrow(cx).get(cx, &1).is_some());
    /// });
    /// # Ok::<(), cspace_core::SettingError>(())
    /// ```
    pub fn insert(
        &mut self,
        cx: &Alloc<'gc>,
        key: K,
        value: Evictable<'gc, V>,
    ) -> Option<Gc<'gc, V>> {
        let is_there = value.set_touched(cx);
        let hash = self.table.hasher.hash_one(&key);
        let old = self.slot_of(hash, &key).and_then(|slot| self.remove_slot(slot));
        let mut gone = Vec::new();
        if is_there && self.fits(value.size_bytes(cx)) {
            self.insert_new(cx, key, value, hash, &mut gone);
        }
        let there = old.as_ref().and_then(|old| old.value.peek(cx));
        gone.extend(old);
        drop_all(gone);
        there
    }

    /// Puts in a reference that was touched, for a key that has none.
    fn insert_new(
        &mut self,
        cx: &Alloc<'gc>,
        key: K,
        value: Evictable<'gc, V>,
        hash: u64,
        gone: &mut Vec<Entry<'gc, K, V>>,
    ) {
        if self.len_hint() >= self.table.purge_at {
            self.remove_evicted(cx, gone);
        }
        let (bytes, queued) = (value.size_bytes(cx), value.last_touch(cx));
        let entry = Some(Entry { key, value, hash, bytes, queued });
        let slot = match self.table.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 entries");
                self.slots.push(entry);
                slot
            }
        };
        let EvictableMap { slots, table } = self;
        let Table { index, queue, limit, bytes: total, .. } = &mut **table;
        *total += bytes as u128;
        index.insert_unique(hash, slot, |slot| hash_of(slots, *slot));
        if limit.is_some() {
            queue.push(Reverse((queued, slot)));
        }
        self.keep_limit(cx, gone);
    }

    /// Removes the entry for a key; returns its object, unless that was let go of.
    pub fn remove<Q>(&mut self, cx: &impl Access<'gc>, key: &Q) -> Option<Gc<'gc, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let slot = self.slot_of(self.table.hasher.hash_one(key), key)?;
        self.remove_slot(slot)?.value.peek(cx)
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        let entries = core::mem::take(&mut self.slots);
        let table = &mut *self.table;
        table.index.clear();
        table.free.clear();
        table.queue.clear();
        table.bytes = 0;
        table.purge_at = PURGE_MIN;
        drop_all(entries);
    }

    /// The keys and objects that are there, in no particular order. Touches none.
    pub fn iter<'a>(
        &'a self,
        cx: &'a impl Access<'gc>,
    ) -> impl Iterator<Item = (&'a K, Gc<'gc, V>)> {
        let entries = self.slots.iter().flatten();
        entries.filter_map(|entry| Some((&entry.key, entry.value.peek(cx)?)))
    }

    /// How many entries there are, counting those of objects that were let go of and not come across since.
    pub fn len_hint(&self) -> usize {
        self.table.index.len()
    }

    /// How many bytes the values of these entries stood for when they were inserted; `usize::MAX` if more.
    pub fn bytes_hint(&self) -> usize {
        usize::try_from(self.table.bytes).unwrap_or(usize::MAX)
    }

    /// Removes the entries of objects that were let go of; returns how many. Takes time for each entry.
    pub fn purge(&mut self, cx: &impl Access<'gc>) -> usize {
        let mut gone = Vec::new();
        self.remove_evicted(cx, &mut gone);
        let count = gone.len();
        drop_all(gone);
        count
    }

    fn remove_evicted(&mut self, cx: &impl Access<'gc>, gone: &mut Vec<Entry<'gc, K, V>>) {
        for slot in 0..self.slots.len() {
            let entry = self.slots[slot].as_ref();
            if entry.is_some_and(|entry| entry.value.is_evicted(cx)) {
                gone.extend(self.remove_slot(slot as u32));
            }
        }
        self.table.purge_at = (2 * self.len_hint()).max(PURGE_MIN);
    }

    /// Whether one of so many bytes is within the limit by itself.
    fn fits(&self, bytes: usize) -> bool {
        match self.table.limit {
            None => true,
            Some(MapLimit::Entries(max)) => max > 0,
            Some(MapLimit::Bytes(max)) => bytes <= max,
        }
    }

    fn remove_slot(&mut self, slot: u32) -> Option<Entry<'gc, K, V>> {
        let entry = self.slots[slot as usize].take()?;
        let table = &mut *self.table;
        if let Ok(found) = table.index.find_entry(entry.hash, |other| *other == slot) {
            found.remove();
        }
        table.free.push(slot);
        table.bytes -= entry.bytes as u128;
        Some(entry)
    }

    fn is_over_limit(&self) -> bool {
        match self.table.limit {
            None => false,
            Some(MapLimit::Entries(max)) => self.len_hint() > max,
            Some(MapLimit::Bytes(max)) => self.table.bytes > max as u128,
        }
    }

    /// Removes what was touched least recently until the map is within its limit.
    fn keep_limit(&mut self, cx: &Alloc<'gc>, gone: &mut Vec<Entry<'gc, K, V>>) {
        while self.is_over_limit() {
            let Some(Reverse((queued, slot))) = self.table.queue.pop() else { return };
            let Some(entry) = &mut self.slots[slot as usize] else { continue };
            if entry.queued != queued {
                // Of an entry that was here before.
                continue;
            }
            let touched = entry.value.last_touch(cx);
            if touched > queued && !entry.value.is_evicted(cx) {
                entry.queued = touched;
                self.table.queue.push(Reverse((touched, slot)));
            } else {
                gone.extend(self.remove_slot(slot));
            }
        }
        if self.table.queue.len() > 2 * self.len_hint() + PURGE_MIN {
            // What is left of entries that were removed.
            let slots = &self.slots;
            self.table.queue.retain(|Reverse((queued, slot))| {
                slots[*slot as usize].as_ref().is_some_and(|entry| entry.queued == *queued)
            });
        }
    }
}

/// Drops entries that are out of the map, which is done with. The keys' drops are the user's: if some panic, the others are
/// dropped even so, and the first panic goes on then.
fn drop_all<T>(gone: Vec<T>) {
    let drop_one = |entry| catch_unwind(AssertUnwindSafe(|| drop(entry))).err();
    let mut panics = gone.into_iter().filter_map(drop_one);
    if let Some(first) = panics.next() {
        panics.for_each(|panic| drop(panic_message(panic)));
        resume_unwind(first);
    }
}

fn hash_of<K, V>(slots: &[Option<Entry<'_, K, V>>], slot: u32) -> u64 {
    slots[slot as usize].as_ref().expect("the index has slots in use").hash
}

impl<K, V> fmt::Debug for EvictableMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvictableMap")
            .field("entries", &self.table.index.len())
            .field("limit", &self.table.limit)
            .finish_non_exhaustive()
    }
}
