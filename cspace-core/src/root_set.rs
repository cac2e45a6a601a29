//! The set of objects that `add_gc_root` made roots (ceda's `AddGcRoot`).

use std::collections::HashSet;

/// Addresses of objects, each at most once. A merge takes over the source's tables as they are, so that its
/// cost does not depend on how many roots there are.
#[derive(Default)]
pub(crate) struct RootSet {
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

    /// Takes over another space's set.
    pub(crate) fn absorb(&mut self, other: &mut RootSet) {
        self.tables.append(&mut other.tables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_in_it_once_also_after_sets_were_merged() {
        let place = |i: usize| core::ptr::null::<u8>().wrapping_add(i);
        let (mut a, mut b) = (RootSet::default(), RootSet::default());
        assert!(a.insert(place(1)) && b.insert(place(2)) && b.insert(place(3)));
        a.absorb(&mut b);
        assert_eq!(b.iter().count(), 0);
        assert!(!a.insert(place(2)), "it came with the other set");
        assert!(a.remove(place(2)) && !a.remove(place(2)));
        let mut left: Vec<_> = a.iter().map(|object| object.addr()).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3]);
    }
}
