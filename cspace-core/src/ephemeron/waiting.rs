//! Entries of ephemeron maps in one cycle: which maps were reached, and which entries wait for their keys.

use core::hash::{BuildHasherDefault, Hasher};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::hash_map::Entry as Slot;
use std::collections::HashMap;

use crate::list::{has_room, has_room_in_map, try_push};
use crate::visitor::Visitor;

/// The address of an object, as a key of a table: compared and hashed by its number.
#[derive(Clone, Copy)]
pub(crate) struct Address(pub(crate) *const u8);

// SAFETY: only an address; who follows it has reasons of its own.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl PartialEq for Address {
    #[inline(always)]
    fn eq(&self, other: &Address) -> bool {
        self.0.addr() == other.0.addr()
    }
}
impl Eq for Address {}
impl core::hash::Hash for Address {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.0.addr());
    }
}

/// Spreads an address over all bits of a hash: objects start at multiples of 16.
#[derive(Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    #[inline(always)]
    fn write_usize(&mut self, address: usize) {
        // The high bits of the product depend on all of the address, the low ones on its low ones.
        self.0 = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only addresses are hashed");
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type AddressMap<T> = HashMap<Address, T, BuildHasherDefault<AddressHasher>>;

/// A place in a map, and what shows it to the marker.
///
/// The function's promise: the place was reached in this cycle, so it stays where it is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) place: *const (),
    pub(super) show: unsafe fn(*const (), &mut Visitor<'_>),
}

/// The end of a list of entries.
const NONE: usize = usize::MAX;

#[derive(Clone, Copy)]
struct Waiting {
    entry: Place,
    /// The next entry with the same key, as an index of `others`.
    next: usize,
}

/// What a marker knows of the ephemeron maps that it reached.
pub(crate) struct Ephemerons {
    /// The number of this mark: above all earlier ones of the process, so that it stays in order when spaces are
    /// merged, and after cycles that were given up.
    number: u64,
    /// Maps that were reached and are to be looked through.
    found: Vec<Place>,
    /// For each key that entries wait for, the first of them. Mostly there are no others, and looking for them
    /// elsewhere would miss the cache once more.
    waiting: AddressMap<Waiting>,
    others: Vec<Waiting>,
    /// The first entries of keys that were marked while entries waited for them.
    woken: Vec<Waiting>,
    /// How many times an entry was looked at.
    #[cfg(test)]
    pub(super) looked_at: usize,
}

/// The number of the last mark.
static MARKS: AtomicU64 = AtomicU64::new(0);

impl Ephemerons {
    pub(crate) fn new() -> Ephemerons {
        Ephemerons {
            // ORDERING: cycles of one space come one after the other, and so do their numbers.
            number: MARKS.fetch_add(1, Relaxed) + 1,
            found: Vec::new(),
            waiting: AddressMap::default(),
            others: Vec::new(),
            woken: Vec::new(),
            #[cfg(test)]
            looked_at: 0,
        }
    }

    #[inline(always)]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes a map that was reached; false if there is no memory.
    #[must_use]
    pub(super) fn find(&mut self, map: Place) -> bool {
        try_push(&mut self.found, map)
    }

    /// Lets an entry wait for its key; false if there is no memory.
    #[must_use]
    pub(super) fn wait(&mut self, key: Address, entry: Place) -> bool {
        let has_room = has_room(&mut self.others, 1) && has_room_in_map(&mut self.waiting, 1);
        if !has_room {
            return false;
        }
        match self.waiting.entry(key) {
            Slot::Vacant(slot) => _ = slot.insert(Waiting { entry, next: NONE }),
            Slot::Occupied(mut slot) => {
                let next = self.others.len();
                self.others.push(slot.insert(Waiting { entry, next }));
            }
        }
        true
    }

    /// An object was marked: the entries that wait for it do no longer. False if there is no memory.
    #[inline]
    #[must_use]
    pub(crate) fn wake(&mut self, object: *const u8) -> bool {
        let first = self.waiting.remove(&Address(object));
        first.is_none_or(|first| try_push(&mut self.woken, first))
    }

    /// The next map to be looked through, or entry to be shown.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Place> {
        if let Some(map) = self.found.pop() {
            return Some(map);
        }
        let Waiting { entry, next } = self.woken.pop()?;
        #[cfg(test)]
        {
            self.looked_at += 1;
        }
        if next != NONE {
            self.woken.push(self.others[next]);
        }
        Some(entry)
    }

    /// Whether [`next`](Ephemerons::next) has nothing.
    #[inline(always)]
    pub(crate) fn is_idle(&self) -> bool {
        self.found.is_empty() && self.woken.is_empty()
    }

    /// Whether an entry waits for its key.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}
