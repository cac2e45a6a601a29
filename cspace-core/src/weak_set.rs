//! [`WeakSet`]: a hash table that does not keep its entries alive, for interning.
//!
//! A table with 100,000 entries cannot be searched for dead ones in the finish. So the finish only
//! *flips* each set: the table becomes a source of a [`Filter`], read-only from then on, and the set
//! starts a new, empty one. Off the lock, before it clears any mark bit, the collector builds a table
//! of the sources' live entries and ends the filter's epoch. Until then the set searches the sources
//! too and tells dead entries by their mark bits; afterwards it takes the filtered table over.
//!
//! - **W1 (believed).** An entry of a source counts only if its mark bit was read as set and the
//!   epoch confirms the reading ([`Epoch`], P4).
//! - **W2 (fresh).** An entry of the set's own table was inserted since the last flip, so its target
//!   is alive until the next finish.
//! - **W3 (there).** The target of an entry of a source was alive when the mark began, and the sweep waits for the
//!   filter: until the epoch ends its memory is not used again, and its mark bit is the mark's (H3).

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use std::sync::Arc;

use crate::access::Alloc;
use crate::chunk::{is_marked, mark_address};
use crate::gc::Gc;
use crate::list::has_room;
use crate::object::{IObject, Rootable};
use crate::protocol::Epoch;
use crate::visitor::{prefetch, Visitor};

/// Twelve bytes, as the table of an interner with many short strings takes about as much as the strings.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct Entry {
    /// Null: no entry here, nor further along the probe sequence.
    target: *const u8,
    hash: u32,
}

const EMPTY: Entry = Entry { hash: 0, target: core::ptr::null() };
const SLOTS_MIN: usize = 16;

/// Open addressing with linear probing; nothing is ever removed. Entries begin to look for a slot where their hash
/// lies in the range of hashes, so a table of any size will do, and is filled from another one in order.
#[derive(Default)]
struct Table {
    slots: Vec<Entry>,
    count: usize,
}

impl Table {
    fn with_slots(slots: usize) -> Table {
        Table { slots: vec![EMPTY; slots.max(SLOTS_MIN)], count: 0 }
    }

    /// An empty table of the wanted size, or one of the memory that was reserved if there is no more.
    fn in_memory(reserved: Vec<Entry>, slots: usize) -> Table {
        let mut memory = reserved;
        let slots = slots.max(SLOTS_MIN);
        if slots > memory.capacity() {
            let mut more = Vec::new();
            if has_room(&mut more, slots) {
                memory = more;
            }
        }
        memory.resize(slots.min(memory.capacity()), EMPTY);
        Table { slots: memory, count: 0 }
    }

    /// Where an entry with this hash begins to look for a slot.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 32) as usize
    }

    #[inline]
    fn after(&self, slot: usize) -> usize {
        let next = slot + 1;
        if next == self.slots.len() {
            0
        } else {
            next
        }
    }

    /// Calls `found` for the target of each entry with this hash, until it says true.
    #[inline]
    fn search(&self, hash: u32, mut found: impl FnMut(*const u8) -> bool) {
        if self.slots.is_empty() {
            return;
        }
        let mut at = self.home(hash);
        loop {
            let entry = self.slots[at];
            if entry.target.is_null() || (entry.hash == hash && found(entry.target)) {
                return;
            }
            at = self.after(at);
        }
    }

    /// Adds an entry. At most two thirds of a table are full.
    fn insert(&mut self, entry: Entry) {
        if (self.count + 1) * 3 > self.slots.len() * 2 {
            self.grow(self.slots.len() + self.slots.len() / 2);
        }
        self.insert_unchecked(entry);
    }

    /// Adds all entries of another table.
    fn insert_all(&mut self, other: &Table) {
        let count = self.count + other.count;
        if count * 3 > self.slots.len() * 2 {
            self.grow(count * 2);
        }
        for entry in other.entries() {
            self.insert_unchecked(*entry);
        }
    }

    fn grow(&mut self, slots: usize) {
        let mut grown = Table::with_slots(slots);
        for entry in self.entries() {
            grown.insert_unchecked(*entry);
        }
        *self = grown;
    }

    fn insert_unchecked(&mut self, entry: Entry) {
        debug_assert!(self.count < self.slots.len());
        let mut at = self.home(entry.hash);
        while !self.slots[at].is_empty() {
            at = self.after(at);
        }
        self.slots[at] = entry;
        self.count += 1;
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter(|entry| !entry.is_empty())
    }

    /// How many words there are of bits for the slots.
    fn word_count(&self) -> usize {
        self.slots.len().div_ceil(64)
    }

    /// Which slots have entries whose targets are marked, a bit for each, in words.
    ///
    /// # Safety
    ///
    /// The table is a source of a filter whose epoch has not ended (W3).
    unsafe fn marked(&self) -> impl Iterator<Item = u64> + '_ {
        let ahead = 16;
        let word = move |(first, slots): (usize, &[Entry])| {
            slots.iter().enumerate().fold(0, |word, (i, entry)| {
                if let Some(next) = self.slots.get(first * 64 + i + ahead) {
                    prefetch(mark_address(next.target));
                }
                // SAFETY: the caller's promise (W3).
                let is_marked = !entry.is_empty() && unsafe { is_marked(entry.target) };
                word | u64::from(is_marked) << i
            })
        };
        self.slots.chunks(64).enumerate().map(word)
    }

    /// The entries in the slots whose bits are set.
    fn entries_in<'a>(&'a self, slots: &'a [u64]) -> impl Iterator<Item = &'a Entry> {
        slots.iter().enumerate().flat_map(move |(word, bits)| {
            let mut bits = *bits;
            core::iter::from_fn(move || {
                let i = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(&self.slots[word * 64 + i])
            })
        })
    }
}

impl Entry {
    #[inline]
    fn is_empty(&self) -> bool {
        let target = self.target;
        target.is_null()
    }
}

/// Mixes the bits of a hash that may be poor.
#[inline]
fn spread(hash: u64) -> u32 {
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// Tables that wait to be filtered, and the table that comes of it.
pub(crate) struct Filter {
    /// Never changed.
    sources: Vec<Table>,
    epoch: Epoch,
    /// Memory for the result and for what is marked, got while the cycle could still be given up. Taken by the collector
    /// before the epoch ends.
    reserved: UnsafeCell<Reserved>,
    /// Written by the collector before the epoch ends, read or taken by the set after.
    result: UnsafeCell<Table>,
}

// SAFETY: `sources` is read-only; `reserved` is the collector's; `result` has one owner on each side of the epoch's end. Targets
// are addresses.
unsafe impl Send for Filter {}
// SAFETY: as above.
unsafe impl Sync for Filter {}

impl Filter {
    /// Builds the table of live entries and ends the epoch. By the collector, once, with the mark
    /// bits as the mark left them.
    pub(crate) fn run(&self) {
        // SAFETY: before the epoch's end what is not a source is the collector's.
        let reserved = core::mem::take(unsafe { &mut *self.reserved.get() });
        let Reserved { entries, mut marked } = reserved;
        for table in &self.sources {
            // SAFETY: the table is this filter's source, and its epoch ends below (W3).
            marked.extend(unsafe { table.marked() });
        }
        let live: usize = marked.iter().map(|word| word.count_ones() as usize).sum();
        let total: usize = self.sources.iter().map(|table| table.count).sum();
        // By the next flip about as many entries will have come as died.
        let mut result = Table::in_memory(entries, (live * 2).max(slots_for(total)));
        let mut marked = &marked[..];
        for table in &self.sources {
            let (of_table, others) = marked.split_at(table.word_count());
            for entry in table.entries_in(of_table) {
                result.insert_unchecked(*entry);
            }
            marked = others;
        }
        // SAFETY: before the epoch's end the result is the collector's.
        unsafe { *self.result.get() = result };
        self.epoch.end();
    }

    fn search(&self, hash: u32, mut found: impl FnMut(*const u8) -> bool) {
        'again: loop {
            if self.epoch.has_ended() {
                // SAFETY: after the epoch's end the result is the set's, here borrowed to read.
                return unsafe { &*self.result.get() }.search(hash, found);
            }
            for table in &self.sources {
                let mut stale = false;
                let mut hit = false;
                table.search(hash, |target| {
                    // SAFETY: the target's chunk is mapped for ever or until the sweep, which
                    // comes after the epoch's end; an answer from then is not believed.
                    let live = unsafe { is_marked(target) };
                    stale = !self.epoch.confirm();
                    hit = !stale && live && found(target);
                    stale || hit
                });
                if stale {
                    continue 'again;
                }
                if hit {
                    return;
                }
            }
            return;
        }
    }
}

#[derive(Default)]
struct State {
    table: Table,
    filter: Option<Arc<Filter>>,
}

/// Memory to filter tables in.
#[derive(Default)]
struct Reserved {
    /// For the entries that stay.
    entries: Vec<Entry>,
    /// For a bit for each slot of the tables.
    marked: Vec<u64>,
}

/// Slots for so many entries.
fn slots_for(count: usize) -> usize {
    (count + count / 2).max(SLOTS_MIN)
}

/// A set that was visited in this cycle, to be flipped in its finish.
pub(crate) struct FlipWeakSet {
    state: *const UnsafeCell<State>,
    reserved: Reserved,
}

impl FlipWeakSet {
    /// None if there is no memory to filter the set in.
    ///
    /// # Safety
    ///
    /// `state` is that of a set that is visited, and the filters of the cycle before have run.
    unsafe fn new(state: *const UnsafeCell<State>) -> Option<FlipWeakSet> {
        // SAFETY: the caller's promise; the collector holds the space, so nobody changes the set.
        let (table, filter) = unsafe {
            let state = &*(*state).get();
            (&state.table, &state.filter)
        };
        // SAFETY: after the epoch's end the result is the set's.
        let filtered = filter.as_ref().map(|filter| unsafe { &*filter.result.get() });
        let tables = || [Some(table), filtered].into_iter().flatten();
        let slots = slots_for(tables().map(|table| table.count).sum());
        let words = tables().map(Table::word_count).sum();
        let mut reserved = Reserved::default();
        (has_room(&mut reserved.entries, slots) && has_room(&mut reserved.marked, words))
            .then_some(FlipWeakSet { state, reserved })
    }

    /// Which set it is.
    pub(crate) fn address(&self) -> usize {
        self.state.addr()
    }

    /// Makes the set's tables sources of a filter, which the collector runs off the lock.
    ///
    /// # Safety
    ///
    /// In the finish of the cycle that visited the set, so that the set is there and nobody has
    /// access; the cycle before has run its filters.
    pub(crate) unsafe fn flip(self) -> Arc<Filter> {
        // SAFETY: the caller's promise.
        let state = unsafe { &mut *(*self.state).get() };
        let mut sources = vec![core::mem::take(&mut state.table)];
        if let Some(filter) = state.filter.take() {
            assert!(filter.epoch.has_ended(), "a weak set is flipped before it was filtered");
            // SAFETY: after the epoch's end the result is the set's.
            sources.push(core::mem::take(unsafe { &mut *filter.result.get() }));
        }
        let filter = Arc::new(Filter {
            sources,
            epoch: Epoch::new(),
            reserved: UnsafeCell::new(self.reserved),
            result: UnsafeCell::default(),
        });
        state.filter = Some(Arc::clone(&filter));
        filter
    }
}

/// A set of objects that does not keep them alive, found by hash: for interning strings and symbols.
///
/// Entries whose objects a collection finds dead are gone from the moment it ends. The set lives in an
/// [`OwnedRoot`](crate::OwnedRoot), in an object's [`GcCell`](crate::GcCell), or wherever else an object
/// type may.
///
/// ```
/// use cspace_core::{Gc, Space, WeakSet};
///
/// let space = Space::builder().build()?;
/// space.exclusive(|cx| {
///     let mut names: WeakSet<'_, String> = WeakSet::new();
///     let hash = 42; // of "name", by the hash function of your choice
///     assert!(names.find(hash, |s| s.as_str() == "name").is_none());
///     let name = cx.alloc("name".to_string());
///     names.insert(cx, hash, name);
///     assert!(Gc::ptr_eq(names.find(hash, |s| s.as_str() == "name").unwrap(), name));
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
pub struct WeakSet<'gc, T> {
    state: UnsafeCell<State>,
    target: PhantomData<Gc<'gc, T>>,
}

// SAFETY: targets are addresses of objects, which are `Send` and `Sync`.
unsafe impl<T> Send for WeakSet<'_, T> {}
// SAFETY: `&WeakSet` only reads; the flip happens in the finish, when nobody has access.
unsafe impl<T> Sync for WeakSet<'_, T> {}

impl<T> Default for WeakSet<'_, T> {
    fn default() -> Self {
        WeakSet { state: UnsafeCell::default(), target: PhantomData }
    }
}

impl<'gc, T: IObject<'gc>> WeakSet<'gc, T> {
    /// An empty set.
    pub fn new() -> WeakSet<'gc, T> {
        WeakSet::default()
    }

    /// The entry with this hash for which `eq` holds.
    ///
    /// `eq` decides: it may be called for an object with another hash, and twice for one. It is called for live
    /// objects only.
    pub fn find(&self, hash: u64, mut eq: impl FnMut(Gc<'gc, T>) -> bool) -> Option<Gc<'gc, T>> {
        // SAFETY: `&self` within an access (the brand's): the collector does not flip now.
        let state = unsafe { &*self.state.get() };
        let hash = spread(hash);
        let mut result = None;
        let mut found = |target: *const u8| {
            // SAFETY: a live entry (W1, W2) names an object of type `T` of this brand's space.
            let object = unsafe { Gc::from_address(target.cast_mut()) };
            let equal = eq(object);
            if equal {
                result = Some(object);
            }
            equal
        };
        let mut done = false;
        state.table.search(hash, |target| {
            done = found(target);
            done
        });
        if let (false, Some(filter)) = (done, &state.filter) {
            filter.search(hash, found);
        }
        result
    }

    /// Adds an object. Look first whether an equal one is there: the set does not.
    pub fn insert(&mut self, _: &Alloc<'gc>, hash: u64, object: Gc<'gc, T>) {
        let state = self.state.get_mut();
        if state.filter.as_ref().is_some_and(|filter| filter.epoch.has_ended()) {
            let filter = state.filter.take().expect("looked at a moment ago");
            // SAFETY: after the epoch's end the result is the set's.
            let mut table = core::mem::take(unsafe { &mut *filter.result.get() });
            table.insert_all(&state.table);
            state.table = table;
        }
        state.table.insert(Entry { target: object.address(), hash: spread(hash) });
    }

    /// How many entries there are, counting some that may be dead by now.
    pub fn len_hint(&self) -> usize {
        // SAFETY: as in `find`.
        let state = unsafe { &*self.state.get() };
        let filtered = state.filter.as_ref().map_or(0, |filter| {
            if filter.epoch.has_ended() {
                // SAFETY: after the epoch's end the result is the set's.
                unsafe { &*filter.result.get() }.count
            } else {
                filter.sources.iter().map(|table| table.count).sum()
            }
        });
        state.table.count + filtered
    }
}

#[doc(hidden)]
pub struct WeakSetFamily<R>(PhantomData<fn(R) -> R>);
impl<R: Rootable> Rootable for WeakSetFamily<R> {
    type At<'gc> = WeakSet<'gc, R::At<'gc>>;
}
// SAFETY: the targets are deliberately not visited; the set is flipped in the finish, before they are
// condemned, and its drop frees memory and touches no target.
unsafe impl<'gc, T: IObject<'gc> + 'gc> IObject<'gc> for WeakSet<'gc, T> {
    type R = WeakSetFamily<T::R>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        // SAFETY: the collector holds the space, so nobody changes the set.
        let state = unsafe { &*self.state.get() };
        visitor.report_bytes(state.table.slots.len() * size_of::<Entry>());
        if visitor.is_marking() && (state.table.count > 0 || state.filter.is_some()) {
            // SAFETY: this set; a cycle begins when the one before has run its filters (Y1).
            visitor.note_weak_set(unsafe { FlipWeakSet::new(&raw const self.state) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Table};

    /// Targets are only compared here.
    fn target(i: usize) -> *const u8 {
        core::ptr::without_provenance((i + 1) * 16)
    }

    /// Hashes with long runs of equal ones, at the end of their range too.
    fn hash(i: usize) -> u32 {
        match i % 5 {
            0 => u32::MAX - (i / 100) as u32,
            1 => (i / 50) as u32,
            _ => (i as u32).wrapping_mul(0x9E37_79B9),
        }
    }

    fn holds(table: &Table, i: usize) -> bool {
        let mut hit = false;
        table.search(hash(i), |found| {
            hit = found == target(i);
            hit
        });
        hit
    }

    fn with(range: core::ops::Range<usize>) -> Table {
        let mut table = Table::default();
        for i in range {
            table.insert(Entry { target: target(i), hash: hash(i) });
        }
        table
    }

    #[test]
    #[cfg_attr(miri, ignore = "3,000 entries")]
    fn a_table_finds_what_was_inserted_and_nothing_else() {
        for count in [0, 1, 10, 11, 17, 100, 3000] {
            let table = with(0..count);
            assert_eq!((table.count, table.entries().count()), (count, count));
            assert!((0..count).all(|i| holds(&table, i)));
            assert!((count..count + 3000).all(|i| !holds(&table, i)));
            assert!(table.count * 3 <= table.slots.len() * 2);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "1,000 entries")]
    fn a_table_takes_in_another_one() {
        for (here, there) in [(0, 0), (0, 9), (9, 0), (5, 5), (100, 1000), (1000, 100)] {
            let mut table = with(0..here);
            table.insert_all(&with(here..here + there));
            assert_eq!(table.count, here + there);
            assert!((0..here + there).all(|i| holds(&table, i)));
            assert!(!holds(&table, here + there));
            assert!(table.count * 3 <= table.slots.len() * 2);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "1,000 entries")]
    fn slots_are_found_by_their_bits() {
        let table = with(0..1000);
        let bit = |i: usize| u64::from(!table.slots[i].is_empty() && i % 3 == 0) << (i % 64);
        let words = table.slots.len().div_ceil(64);
        let of_word = |word: usize| word * 64..table.slots.len().min(word * 64 + 64);
        let bits: Vec<u64> =
            (0..words).map(|word| of_word(word).map(bit).fold(0, |a, b| a | b)).collect();
        let found: Vec<_> = table.entries_in(&bits).map(|entry| entry.target).collect();
        let third = table.slots.iter().step_by(3).filter(|entry| !entry.is_empty());
        assert_eq!(found, third.map(|entry| entry.target).collect::<Vec<_>>());
    }
}
