//! The home of objects: what says which space they belong to.
//!
//! A handle may outlive its space, and the objects of a space may be merged into another one. So a handle does not
//! name a space but a *home*, by number, and each space has one home at a time: that of its objects. A merge makes
//! one home of two, under one of their numbers, and gives the source a new one. The other number *follows*
//! ([`Successors`]): a handle that has it finds out where it leads when it is used next. The number of which there
//! are more handles stays, as far as is known; if nobody has the other, nothing follows anything. So objects that are
//! merged to and fro take their number along.
//!
//! The next cycle, which looks at every handle anyway, gives each the home's number. Then nothing is left of a merge.
//!
//! - **M1 (belongs).** A handle's object is in the space whose home number the handle's number leads to. Which it is
//!   changes with both spaces held exclusively, so in an access a comparison with the access's own number is stable.
//! - **M2 (once).** A number is the home of one space at a time, and once it follows another never again of any. So a
//!   handle that has the access's number belongs to its space, even if the number was written there before the last
//!   merges (P28).

use core::sync::atomic::{self, fence, Ordering::Relaxed, Ordering::SeqCst};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::changes::Changes;
use crate::chunk::SpanRef;
use crate::collector_handle::CollectorHandle;
use crate::heap::Counters;
use crate::ledger::Ledger;
use crate::owned_root::OwnedList;
use crate::protocol::{CycleGate, Successors};
use crate::root::RootTable;
use crate::sync::AtomicU64;

/// The gate of a space's cycles; swept spans come back by it.
pub(crate) type Gate = CycleGate<SpanRef, Arc<Counters>, CollectorHandle>;

/// What belongs to a space's objects, and is replaced when they are merged into another's.
pub(crate) struct Home {
    /// What handles name.
    id: u64,
    pub(crate) gate: Arc<Gate>,
    /// What is charged to it; not by this record, but by wherever the books have moved.
    pub(crate) ledger: Ledger,
}

/// The next home's number.
static NEXT_ID: atomic::AtomicU64 = atomic::AtomicU64::new(1);

/// The numbers that follow others, since the last cycles of their spaces.
static SUCCESSORS: LazyLock<Successors> = LazyLock::new(Successors::default);

impl Home {
    /// A home of no handle.
    pub(crate) fn new(counters: &Arc<Counters>, ledger: Ledger) -> Arc<Home> {
        let id = NEXT_ID.fetch_add(1, Relaxed);
        Arc::new(Home { id, gate: Arc::new(CycleGate::new(Arc::clone(counters))), ledger })
    }

    /// This home under the number of another one and with its books, which were merged.
    pub(crate) fn renamed(&self, id: u64, ledger: Ledger) -> Arc<Home> {
        Arc::new(Home { id, gate: Arc::clone(&self.gate), ledger })
    }

    /// What handles name. Stable in an access (M1).
    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

/// Whether a handle belongs to the home with the number `id`, that of an access (M1).
#[inline(always)]
pub(crate) fn is_same(handle: &AtomicU64, id: u64) -> bool {
    handle.load(Relaxed) == id || leads_to(handle, id)
}

#[cold]
#[inline(never)]
fn leads_to(handle: &AtomicU64, id: u64) -> bool {
    SUCCESSORS.resolve(handle) == id
}

/// The changes of the spaces that objects were merged into, by the numbers of their homes.
static MERGED: LazyLock<Mutex<HashMap<u64, Arc<Changes>>>> = LazyLock::new(Mutex::default);

/// Two homes were merged: both are `home` now, of the space that `changes` are of. By who merges (M1).
pub(crate) fn belongs_to(merged: [u64; 2], home: &Home, changes: &Arc<Changes>) {
    let mut all = MERGED.lock();
    for number in merged {
        all.remove(&number);
    }
    all.insert(home.id, Arc::clone(changes));
    changes.set_home(home.id);
    drop(all);
    // ORDERING: with the fence in `note_dropped`: who finds the changes of before has let go before this.
    fence(SeqCst);
}

/// The space of a home is gone.
pub(crate) fn space_gone(number: u64) {
    drop(MERGED.lock().remove(&number));
}

/// The last handle of an object is gone. Tells the space that the object belongs to: `handle` has the number of its home, as
/// far as it is known, and `changes` are those of the space that made the handle.
pub(crate) fn note_dropped(changes: &Arc<Changes>, handle: &AtomicU64) {
    // ORDERING: with the fences of a cycle's beginning and of a merge. The handle was let go of before the fence. If the
    // loads behind it see what was before the cycle began, the cycle sees that it was let go of (P23); if they see what
    // was before a merge, so does the first cycle after that, which the merge itself is a reason for.
    fence(SeqCst);
    let number = handle.load(Relaxed);
    if changes.is_of_home(number) {
        return changes.note_and_wake();
    }
    note_dropped_elsewhere(number);
}

#[cold]
#[inline(never)]
fn note_dropped_elsewhere(number: u64) {
    let number = SUCCESSORS.resolve(&AtomicU64::new(number));
    let merged = MERGED.lock();
    let told = match merged.get(&number) {
        Some(changes) => vec![Arc::clone(changes)],
        // The number was forgotten since it was read, or the space is gone: whoever it was is among these.
        None => merged.values().map(Arc::clone).collect(),
    };
    drop(merged);
    for changes in told {
        changes.note_and_wake();
    }
}

/// The handles on a space's objects. They move as a whole.
pub(crate) struct Handles {
    pub(crate) roots: Mutex<RootTable>,
    pub(crate) owned: Mutex<OwnedList>,
    /// Numbers that follow that of the space's home.
    followers: Mutex<Vec<u64>>,
}

impl Handles {
    /// Of a space that these changes are of.
    pub(crate) fn new(changes: &Arc<Changes>) -> Handles {
        Handles {
            roots: Mutex::new(RootTable::new(changes)),
            owned: Mutex::default(),
            followers: Mutex::default(),
        }
    }

    fn may_exist(&self) -> bool {
        self.roots.lock().may_have_handles() || !self.owned.lock().is_empty()
    }

    /// Makes room for those of a space that is to be merged into this one, and decides on the number under which both
    /// will be: of their homes `own` and `others`. What has the other number finds it from now on.
    ///
    /// The caller holds both spaces exclusively, and merges them (M1).
    pub(crate) fn prepare(&self, other: &Handles, own: u64, others: u64) -> u64 {
        self.roots.lock().prepare(&mut other.roots.lock());
        self.owned.lock().prepare(&mut other.owned.lock());
        let (mut followers, mut from) = (self.followers.lock(), other.followers.lock());
        let is_taken_over = match (self.may_exist(), other.may_exist()) {
            (_, false) => {
                SUCCESSORS.forget(&mut from);
                return own;
            }
            (false, true) => {
                SUCCESSORS.forget(&mut followers);
                core::mem::swap(&mut *followers, &mut from);
                return others;
            }
            (true, true) => followers.len() < from.len(),
        };
        let (mut stays, mut follows) = (own, others);
        if is_taken_over {
            core::mem::swap(&mut stays, &mut follows);
            core::mem::swap(&mut *followers, &mut from);
        }
        SUCCESSORS.follow(follows, stays);
        followers.reserve(from.len() + 1);
        followers.append(&mut from);
        followers.push(follows);
        stays
    }

    /// Takes over those of a space that is merged into this one.
    pub(crate) fn absorb(&self, other: &Handles) {
        let mut from = other.roots.lock();
        if from.may_have_handles() {
            self.roots.lock().absorb(&mut from);
        }
        drop(from);
        self.owned.lock().absorb(&mut other.owned.lock());
    }

    /// Every handle has the home's number: what followed it is forgotten. By the collector.
    pub(crate) fn forget_followers(&self) {
        SUCCESSORS.forget(&mut self.followers.lock());
    }
}

impl Drop for Handles {
    /// The space is gone: its handles lead nowhere.
    fn drop(&mut self) {
        SUCCESSORS.forget(self.followers.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::SUCCESSORS;
    use crate::{GcRoot, Space};

    /// What no merge of another test can hide: how many numbers follow others is measured by the numbers of these spaces.
    fn followers(spaces: &[&Space]) -> usize {
        spaces.iter().map(|space| space.inner.handles().followers.lock().len()).sum()
    }

    fn space() -> Space {
        Space::builder().build().unwrap()
    }

    fn root(space: &Space, value: u64) -> GcRoot<u64> {
        space.exclusive(|cx| cx.root(cx.alloc(value)))
    }

    #[test]
    #[cfg_attr(miri, ignore = "1,000 merges")]
    fn objects_take_their_number_along_to_and_fro() {
        let (a, b) = (space(), space());
        let mut roots = vec![root(&a, 0)];
        for i in 1..1000 {
            let (from, into) = if i % 2 == 1 { (&a, &b) } else { (&b, &a) };
            into.transfer_from(from).unwrap();
            roots.push(root(into, i));
            assert_eq!(followers(&[&a, &b]), 0);
        }
        b.shared(|cx| assert_eq!(roots.iter().map(|root| *root.get(cx)).sum::<u64>(), 499_500));
    }

    #[test]
    fn numbers_that_follow_are_forgotten_with_their_space() {
        let (a, b) = (space(), space());
        let roots = (root(&a, 1), root(&b, 2));
        a.transfer_from(&b).unwrap();
        let number = a.inner.handles().followers.lock()[0];
        assert_eq!(SUCCESSORS.resolve(&number.into()), a.inner.current_home().id());
        drop(a);
        assert_eq!(SUCCESSORS.resolve(&number.into()), number);
        drop(roots);
    }
}
