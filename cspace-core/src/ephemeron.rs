//! [`EphemeronMap`]: a table whose entries say something about their keys and keep none of them alive.
//!
//! An entry's value is kept while its map and its key are, and the key must be reached otherwise than through
//! the value. So the marker does not show values when it reaches a map. It notes the map; when nothing else is
//! gray, it looks through the entries. Those whose key is marked have their values shown. The others wait in a
//! table by the address of their key, and while any does, each newly marked object is looked up there. An
//! entry that is found has its value shown in turn, which marks more, and so on until nothing is gray and
//! nothing is found. Every entry is looked at once and shown at most once: a chain costs what its length is,
//! however it is ordered. Entries that wait when the cycle condemns have dead keys.
//!
//! They cannot be searched for in the finish, nor forgotten there, with everybody locked out. Entries and maps
//! have *stamps*, numbers of marks. The marker stamps an entry when it shows its value; the finish stamps
//! the maps and nothing else. What is behind its map's stamp is dead. Dead entries are dropped by the mutator, on
//! the way of insertions.
//!
//! - **J1 (stamped).** An entry *shows* exactly if its stamp is not behind its map's. An entry is made with its
//!   map's stamp. During a cycle the marker alone writes stamps of entries, always the cycle's number, which is
//!   ahead of all others; the finish alone writes those of maps, the same number, of the maps that were reached.
//!   So a cycle that is given up has changed nothing that shows.
//! - **J2 (closed).** When a drain ends, each entry that shows of each map that was reached has its key marked,
//!   the cycle's stamp and its value shown; or its key is not marked, and it waits.
//! - **J3 (watched).** While an entry waits, every object that is newly marked is looked up among the keys.
//! - **J4 (untouched).** Of an entry that does not show nobody reads the value, nor what is at the key's address,
//!   which may be unmapped, or another object by now. Dropping the value is sound, as values touch no object in
//!   their drops (the contract of `IObject`); the sweep drops dead objects with dangling references no differently.
//! - **J5 (valid).** The key of an entry that shows is alive, and so is what its value refers to. (It was inserted
//!   since the last finish, in an access; or, by J1 and J2, that finish found its key marked and its value shown.)

mod waiting;

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::hash_map::Entry as Slot;

use crate::access::{Access, Alloc};
use crate::any::GcAny;
use crate::brand::{Brand, Family};
use crate::chunk::is_marked;
use crate::gc::Gc;
use crate::hooks::Hooks;
use crate::nesting::{drop_value, is_deep, Depth, Drops, Owner};
use crate::object::{IObject, Rootable};
use crate::visitor::Visitor;

use waiting::Place;
pub(crate) use waiting::{Address, AddressMap, Ephemerons};

/// Entries that a map may have before it looks for dead ones.
const PURGE_MIN: usize = 16;

struct Entry<V> {
    /// J1. Readers read it while the marker writes: both find an entry that shows.
    stamp: AtomicU64,
    value: V,
}

impl<V> Entry<V> {
    #[inline(always)]
    fn shows(&self, map_stamp: u64) -> bool {
        self.stamp.load(Relaxed) >= map_stamp
    }
}

/// A map's stamp.
#[derive(Default)]
struct Clock {
    /// J1. Written by the finish, read in accesses and by the marker.
    now: AtomicU64,
    /// What the finish of this cycle sets it to. The collector's.
    next: AtomicU64,
}

impl Clock {
    #[inline(always)]
    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    /// # Safety
    ///
    /// `clock` is that of a map that was reached in this cycle; this is its finish.
    unsafe fn advance(clock: *const ()) {
        // SAFETY: the map was reached and the graph is frozen, so it is where it was.
        let clock = unsafe { &*clock.cast::<Clock>() };
        clock.now.store(clock.next.load(Relaxed), Relaxed);
    }
}

struct Table<V> {
    clock: Clock,
    entries: AddressMap<Entry<V>>,
    /// Entries to have before dead ones are looked for the next time.
    purge_at: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Table { clock: Clock::default(), entries: AddressMap::default(), purge_at: PURGE_MIN }
    }
}

impl<V> Table<V> {
    #[inline]
    fn find(&self, key: *const u8) -> Option<&Entry<V>> {
        self.entries.get(&Address(key)).filter(|entry| entry.shows(self.clock.now()))
    }

    /// The entries that show.
    fn showing(&self) -> impl Iterator<Item = (*const u8, &V)> {
        let now = self.clock.now();
        let showing = self.entries.iter().filter(move |(_, entry)| entry.shows(now));
        showing.map(|(key, entry)| (key.0, &entry.value))
    }

    fn retain(&mut self, mut keep: impl FnMut(*const u8, &mut V) -> bool) -> usize {
        let (now, before) = (self.clock.now(), self.entries.len());
        self.entries.retain(|key, entry| entry.shows(now) && keep(key.0, &mut entry.value));
        let count = self.entries.len();
        // Walking a table costs its capacity, so what is kept has to have its size.
        if self.entries.capacity() / 8 > count.max(PURGE_MIN) {
            self.entries.shrink_to(count * 2);
        }
        self.purge_at = (count * 2).max(PURGE_MIN);
        before - count
    }
}

impl<'gc, V: IObject<'gc>> Table<V> {
    /// Drops the dead entries whose values are so deep that it takes care; returns how many there were.
    fn purge_deep(&mut self) -> usize {
        if !V::MAY_NEST {
            return 0;
        }
        let now = self.clock.now();
        // SAFETY: the table is borrowed mutably.
        let is_deep = |entry: &Entry<V>| !entry.shows(now) && unsafe { is_deep(&entry.value) };
        let deep = self.entries.iter().filter(|(_, entry)| is_deep(entry));
        let deep: Vec<Address> = deep.map(|(key, _)| *key).collect();
        for key in &deep {
            if let Some(entry) = self.entries.remove(key) {
                let mut value = ManuallyDrop::new(entry.value);
                // SAFETY: not used again.
                unsafe { drop_value(&raw mut *value) };
            }
        }
        deep.len()
    }

    /// Looks through the entries of a map that was reached: J2.
    ///
    /// # Safety
    ///
    /// `table` is a `Table<V>` of a map that was reached in this cycle by the marker that is given.
    unsafe fn look_through(table: *const (), visitor: &mut Visitor<'_>) {
        // SAFETY: the map was reached and the graph is frozen (V2): readers read it, nobody writes.
        let table = unsafe { &*table.cast::<Table<V>>() };
        let now = table.clock.now();
        table.clock.next.store(visitor.ephemerons.number(), Relaxed);
        visitor.at_finish(((&raw const table.clock).cast(), Clock::advance));
        for (key, entry) in &table.entries {
            if !entry.shows(now) {
                continue;
            }
            #[cfg(test)]
            {
                visitor.ephemerons.looked_at += 1;
            }
            let place = core::ptr::from_ref(entry).cast();
            // SAFETY: the key of an entry that shows is an object (J5).
            if unsafe { is_marked(key.0) } {
                // SAFETY: an entry of this table.
                unsafe { Table::<V>::show(place, visitor) };
            } else {
                visitor.watch();
                if !visitor.ephemerons.wait(*key, Place { place, show: Table::<V>::show }) {
                    visitor.fail();
                }
            }
        }
    }

    /// Shows the value of an entry whose key is marked.
    ///
    /// # Safety
    ///
    /// `entry` is an `Entry<V>` that shows, of a map that was reached in this cycle by the marker that is given.
    unsafe fn show(entry: *const (), visitor: &mut Visitor<'_>) {
        // SAFETY: as in `look_through`.
        let entry = unsafe { &*entry.cast::<Entry<V>>() };
        entry.stamp.store(visitor.ephemerons.number(), Relaxed);
        if V::NEEDS_VISIT {
            entry.value.visit_objects(visitor);
        }
    }
}

impl Visitor<'_> {
    /// Looks through the maps that were reached, and shows the entries that were woken.
    ///
    /// # Safety
    ///
    /// The graph is frozen (V2), since before any of them was reached.
    #[cold]
    pub(crate) unsafe fn show_ephemerons(&mut self) {
        while let Some(Place { place, show }) = self.ephemerons.next() {
            // SAFETY: noted together, of a map that this marker reached.
            unsafe { show(place, self) };
        }
    }
}

mod sealed {
    pub trait Identity: Copy {
        fn address(self) -> *const u8;

        /// # Safety
        ///
        /// The address came from a handle of this type, and the object is alive for as long as its brand lasts.
        unsafe fn from_address(address: *const u8) -> Self;
    }
}
use sealed::Identity;

/// Handles that can be the keys of an [`EphemeronMap`]: [`Gc`] and, for objects of any type, [`GcAny`].
///
/// Two of them are the same key if they name the same object.
pub trait EphemeronKey<'gc>: IObject<'gc> + Identity {}

impl<'gc, T: IObject<'gc>> Identity for Gc<'gc, T> {
    #[inline(always)]
    fn address(self) -> *const u8 {
        Gc::address(self)
    }
    #[inline(always)]
    unsafe fn from_address(address: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Gc::from_address(address.cast_mut()) }
    }
}
impl<'gc, T: IObject<'gc> + 'gc> EphemeronKey<'gc> for Gc<'gc, T> {}

impl Identity for GcAny<'_> {
    #[inline(always)]
    fn address(self) -> *const u8 {
        GcAny::address(self)
    }
    #[inline(always)]
    unsafe fn from_address(address: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { GcAny::from_address(address) }
    }
}
impl<'gc> EphemeronKey<'gc> for GcAny<'gc> {}

/// A map from objects to what is known about them, which keeps no object alive: an entry's value lives only while
/// both the map and the key are reachable otherwise than through the value.
///
/// Use it to add something to objects from outside: hidden fields, caches, the `WeakMap` of a language. A value may
/// refer to its key, to the map, or to other keys; entries that only keep each other go, chains of any length and
/// cycles included.
///
/// Keys are [`Gc`] or [`GcAny`], by identity. Values are anything that may be a part of an object. The map lives in
/// an object's [`GcCell`](crate::GcCell), in an [`OwnedRoot`](crate::OwnedRoot), or wherever else an object type may.
///
/// ```
/// use cspace_core::{EphemeronMap, Gc, Space};
///
/// let space = Space::builder().build()?;
/// let mut notes = space.exclusive(|cx| cx.own_root(EphemeronMap::<Gc<'_, u64>, String>::new()));
/// let root = space.exclusive(|cx| {
///     let key = cx.alloc(7u64);
///     notes.get_mut(cx).insert(cx, key, "a prime".to_string());
///     cx.root(key)
/// });
/// space.shared(|cx| {
///     let note = notes.get(cx).get(cx, root.get(cx));
///     assert_eq!(note.map(String::as_str), Some("a prime"));
/// });
/// # Ok::<(), cspace_core::SettingError>(())
/// ```
///
/// # When are values dropped?
///
/// An entry whose key a collection finds dead is gone from the moment the collection ends: no function shows it.
/// The objects that it referred to go with that collection. The value itself stays in the table, untouched, until an
/// insertion that would let the table grow, or [`purge`](EphemeronMap::purge), drops it; or until the map goes.
/// That is in an exclusive access, so a [`Static`](crate::Static) in a value must not enter the space when it is
/// dropped.
pub struct EphemeronMap<'gc, K, V> {
    table: Table<V>,
    key: PhantomData<K>,
    brand: Brand<'gc>,
}

// SAFETY: the map owns values; keys are addresses, given as handles, which are `Send` and `Sync`.
unsafe impl<K, V: Send> Send for EphemeronMap<'_, K, V> {}
// SAFETY: as above; what `&EphemeronMap` may change, stamps, is atomic.
unsafe impl<K, V: Sync> Sync for EphemeronMap<'_, K, V> {}

impl<K, V> Default for EphemeronMap<'_, K, V> {
    fn default() -> Self {
        EphemeronMap { table: Table::default(), key: PhantomData, brand: PhantomData }
    }
}

impl<'gc, K: EphemeronKey<'gc>, V: IObject<'gc>> EphemeronMap<'gc, K, V> {
    /// An empty map.
    pub fn new() -> EphemeronMap<'gc, K, V> {
        EphemeronMap::default()
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, _: &impl Access<'gc>, key: K) -> Option<&V> {
        self.table.find(key.address()).map(|entry| &entry.value)
    }

    /// The value of a key, to change.
    #[inline]
    pub fn get_mut(&mut self, _: &Alloc<'gc>, key: K) -> Option<&mut V> {
        let now = self.table.clock.now();
        let entry = self.table.entries.get_mut(&Address(key.address()))?;
        entry.shows(now).then_some(&mut entry.value)
    }

    /// Whether there is an entry for a key.
    #[inline]
    pub fn contains(&self, _: &impl Access<'gc>, key: K) -> bool {
        self.table.find(key.address()).is_some()
    }

    /// Sets the value of a key, and returns the one that it had.
    ///
    /// Drops the values of dead entries now and then: as many insertions pay for it as it finds entries.
    ///
    /// # Panics
    ///
    /// If the drop of a dead entry's value panics. Nothing is inserted then.
    pub fn insert(&mut self, _: &Alloc<'gc>, key: K, value: V) -> Option<V> {
        let table = &mut self.table;
        if table.entries.len() >= table.purge_at {
            table.purge_deep();
            table.retain(|_, _| true);
        }
        let now = table.clock.now();
        let (key, entry) = (Address(key.address()), Entry { stamp: AtomicU64::new(now), value });
        match table.entries.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                None
            }
            Slot::Occupied(mut slot) if slot.get().shows(now) => Some(slot.insert(entry).value),
            Slot::Occupied(slot) => {
                // Of an object that was at this address before; its pointer is not to be used again (J4).
                drop(slot.remove());
                table.entries.insert(key, entry);
                None
            }
        }
    }

    /// Takes the entry of a key out, and returns its value.
    pub fn remove(&mut self, _: &Alloc<'gc>, key: K) -> Option<V> {
        let entry = self.table.entries.remove(&Address(key.address()))?;
        entry.shows(self.table.clock.now()).then_some(entry.value)
    }

    /// The entries whose keys no collection found dead, in no order. Until the next collection ends that includes
    /// keys that nothing else refers to.
    pub fn iter<'a>(&'a self, _: &impl Access<'gc>) -> impl Iterator<Item = (K, &'a V)> + 'a
    where
        K: 'a,
    {
        // SAFETY: the key of an entry that shows is alive (J5), and stays so until this access ends; all keys came
        // from handles of this type.
        self.table.showing().map(|(key, value)| (unsafe { K::from_address(key) }, value))
    }

    /// Keeps the entries for which `keep` says so, drops the others and the dead ones.
    pub fn retain(&mut self, _: &Alloc<'gc>, mut keep: impl FnMut(K, &mut V) -> bool) {
        self.table.purge_deep();
        // SAFETY: as in `iter`.
        self.table.retain(|key, value| keep(unsafe { K::from_address(key) }, value));
    }

    /// Drops the values of dead entries now, and returns how many there were.
    pub fn purge(&mut self, _: &Alloc<'gc>) -> usize {
        self.table.purge_deep() + self.table.retain(|_, _| true)
    }

    /// How many entries there are, counting some that may be dead by now.
    pub fn len_hint(&self) -> usize {
        self.table.entries.len()
    }
}

#[doc(hidden)]
pub struct EphemeronMapFamily<R, S>(Family<R>, Family<S>);
impl<R: Rootable, S: Rootable> Rootable for EphemeronMapFamily<R, S> {
    type At<'gc> = EphemeronMap<'gc, R::At<'gc>, S::At<'gc>>;
}
// SAFETY: keys are deliberately not visited, and values while their keys are marked: what is not is not shown after
// the finish (J1, J2). Dropping the map drops values and touches no object.
unsafe impl<'gc, K: IObject<'gc> + 'gc, V: IObject<'gc> + 'gc> IObject<'gc>
    for EphemeronMap<'gc, K, V>
{
    type R = EphemeronMapFamily<K::R, V::R>;
    fn visit_objects(&self, visitor: &mut Visitor<'_>) {
        let entry_bytes = size_of::<(Address, Entry<V>)>() + 1;
        visitor.report_bytes(self.table.entries.capacity() * entry_bytes);
        if !visitor.is_marking() {
            visitor.visit_owner(self);
        } else if !self.table.entries.is_empty() {
            let place = (&raw const self.table).cast();
            if !visitor.ephemerons.find(Place { place, show: Table::<V>::look_through }) {
                visitor.fail();
            }
        }
    }
    const MAY_NEST: bool = true;
    fn is_deeper_than(&self, depth: Depth) -> bool {
        V::MAY_NEST && self.has_parts_below(depth)
    }
    unsafe fn drop_parts(this: *mut Self, drops: &mut Drops<'_>) {
        // SAFETY: the caller's promise.
        unsafe { drops.drop_owner(this) };
    }
}
// Values have no hooks called.
impl<'gc, K: IObject<'gc> + 'gc, V: IObject<'gc> + 'gc> Owner<'gc> for EphemeronMap<'gc, K, V> {
    fn visit_parts(&self, visitor: &mut Visitor<'_>) {
        for (key, value) in self.table.showing() {
            visitor.edge_any(key);
            value.visit_objects(visitor);
        }
    }
    fn hook_parts(&mut self, _: &mut Hooks<'_>) {}
    fn has_parts_below(&self, depth: Depth) -> bool {
        match depth.below() {
            None => !self.table.entries.is_empty(),
            Some(depth) => {
                self.table.entries.values().any(|entry| entry.value.is_deeper_than(depth))
            }
        }
    }
    fn take_apart(self, drops: &mut Drops<'_>) {
        for entry in self.table.entries.into_values() {
            drops.drop_one(entry.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::{ForCollectors, LockWait, MarkPhase};
    use crate::{OwnedRoot, Rootable, Space};

    type Numbers<'gc> = EphemeronMap<'gc, Gc<'gc, u64>, Gc<'gc, u64>>;

    /// How many times a marker looks at an entry, for a chain of so many, one map each. `ahead` says at which end of the
    /// list of maps the chain begins, which is the good one for some markers and the bad one for others.
    fn looked_at(count: usize, ahead: bool) -> usize {
        let space = Space::builder().build().unwrap();
        let mut maps: OwnedRoot<Rootable![Vec<Numbers<'_>>]> = space
            .exclusive(|cx| cx.own_root((0..count).map(|_| Numbers::new()).collect::<Vec<_>>()));
        let _root = space.exclusive(|cx| {
            let keys: Vec<_> = (0..=count as u64).map(|i| cx.alloc(i)).collect();
            for (at, map) in maps.get_mut(cx).iter_mut().enumerate() {
                let at = if ahead { at } else { count - 1 - at };
                map.insert(cx, keys[at], keys[at + 1]);
            }
            cx.root(keys[0])
        });
        // Holds the space, and clears the marks when it is dropped.
        let _phase = MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER).unwrap();
        let mut visitor = Visitor::marking();
        assert!(visitor.begin(false));
        // SAFETY: the phase holds the space.
        unsafe {
            let (handles, home) = (space.inner.handles(), space.inner.home().id());
            let roots = handles.roots.lock().snapshot().unwrap();
            roots.for_each(|object| visitor.edge_any(object));
            let owned = handles.owned.lock().live(home).unwrap();
            owned.into_iter().for_each(|cell| cell.visit(&mut visitor));
            visitor.drain();
        }
        assert_eq!(visitor.marked_count(), count + 1);
        assert!(!visitor.ephemerons.is_waiting());
        visitor.ephemerons.looked_at
    }

    #[test]
    #[cfg_attr(miri, ignore = "chains of 4,000")]
    fn the_work_for_a_chain_grows_with_its_length_in_any_order() {
        for count in [1000, 4000] {
            for ahead in [true, false] {
                // When its map is reached; and once more when its key is, unless that was before, as that of the first.
                assert_eq!(looked_at(count, ahead), 2 * count - 1);
            }
        }
    }
}
