//! The set of objects that `add_gc_root` made roots (ceda's `AddGcRoot`).

use std::collections::HashSet;

/// Tables up to this length are joined when spaces merge: a few microseconds.
const JOINED_MAX: usize = 256;

/// Addresses of objects, each at most once. A merge takes over the source's tables, the large ones as they are, so that
/// its cost does not depend on how many roots there are, and small ones as members of a larger one, so that there are
/// not many tables.
#[derive(Default)]
pub(crate) struct RootSet {
    /// The first is the one that is added to.
    tables: Vec<HashSet<*const u8>>,
}

impl RootSet {
    /// Adds an object; false if it is there already.
    pub(crate) fn insert(&mut self, object: *const u8) -> bool {
        if self.tables.iter().any(|table| table.contains(&object)) {
            return false;
        }
        if self.tables.is_empty() {
            self.tables.push(HashSet::new());
        }
        self.tables[0].insert(object)
    }

    /// Takes an object out; false if it is not there.
    pub(crate) fn remove(&mut self, object: *const u8) -> bool {
        let Some(at) = self.tables.iter_mut().position(|table| table.remove(&object)) else {
            return false;
        };
        if self.tables[at].is_empty() {
            self.tables.swap_remove(at);
        }
        true
    }

    /// Every object of the set.
    pub(crate) fn iter(&self) -> impl Iterator<Item = *const u8> + '_ {
        self.tables.iter().flatten().copied()
    }

    /// Makes room for another space's set, to take it over.
    pub(crate) fn prepare(&mut self, other: &mut RootSet) {
        let counts = (self.tables.len(), other.tables.len());
        if counts.0 < counts.1 { &mut other.tables } else { &mut self.tables }
            .reserve(counts.0.min(counts.1));
        if let (Some(own), Some(others)) = (self.tables.first_mut(), other.tables.first_mut()) {
            let (longer, shorter) =
                if own.len() < others.len() { (others, own) } else { (own, others) };
            if shorter.len() <= JOINED_MAX {
                longer.reserve(shorter.len());
            }
        }
    }

    /// Takes over another space's set. Allocates nothing after [`prepare`](RootSet::prepare).
    pub(crate) fn absorb(&mut self, other: &mut RootSet) {
        if self.tables.len() < other.tables.len() {
            core::mem::swap(&mut self.tables, &mut other.tables);
        }
        if let (Some(own), Some(others)) = (self.tables.first_mut(), other.tables.first_mut()) {
            if own.len() < others.len() {
                core::mem::swap(own, others);
            }
            if others.len() <= JOINED_MAX {
                own.extend(others.drain());
                other.tables.swap_remove(0);
            }
        }
        self.tables.append(&mut other.tables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(i: usize) -> *const u8 {
        core::ptr::null::<u8>().wrapping_add(i)
    }

    #[test]
    fn an_object_is_in_it_once_also_after_sets_were_merged() {
        let (mut a, mut b) = (RootSet::default(), RootSet::default());
        assert!(a.insert(place(1)) && b.insert(place(2)) && b.insert(place(3)));
        a.prepare(&mut b);
        a.absorb(&mut b);
        assert_eq!(b.iter().count(), 0);
        assert!(!a.insert(place(2)), "it came with the other set");
        assert!(a.remove(place(2)) && !a.remove(place(2)));
        let mut left: Vec<_> = a.iter().map(|object| object.addr()).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "10,000 merges")]
    fn many_merges_make_few_tables_and_lose_nothing() {
        let (mut a, mut b) = (RootSet::default(), RootSet::default());
        for i in 0..10_000 {
            let (from, into) = if i % 3 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
            assert!(from.insert(place(16 * i)) && into.insert(place(16 * i + 1)));
            into.prepare(from);
            into.absorb(from);
            assert!(from.tables.is_empty() && into.tables.len() <= 1);
        }
        let all: HashSet<_> = a.iter().chain(b.iter()).collect();
        assert_eq!(all.len(), 20_000);
    }
}
