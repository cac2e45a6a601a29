//! Actions that run once: when their objects are condemned, or by hand ([`OnceAction`], [`Cleanups`]).
//!
//! A list of actions belongs to a space. Accesses *insert*, shared ones too, and beside a mark. The finish,
//! which nobody is inside of, *detaches* the whole list in one step; its batch tells the dead from the living by
//! their marks, before the sweep clears those, *puts back* the living, and runs the actions of the dead.
//!
//! - **P11 (once).** Of all that take an action exactly one gets it, and who knows of what that one did with it
//!   finds it taken.
//! - **P12 (none missed).** An action that was inserted in an access before a finish is examined by the batch of
//!   that finish; one that was inserted after it waits for the next. No action is in two places.
//! - **P13 (in order).** Actions are examined in the order in which they were inserted, those of one object too; after a
//!   merge, those of each of the two spaces.

use std::sync::Arc;

use crate::pile::Pile;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Something to be done that is taken at most once.
#[derive(Debug)]
pub struct OnceAction<A> {
    /// Who sets it has the action.
    taken: AtomicBool,
    /// Of whoever has the action, so that nobody ever waits for the mutex.
    action: Mutex<Option<A>>,
}

impl<A> OnceAction<A> {
    /// Not taken yet.
    pub fn new(action: A) -> OnceAction<A> {
        OnceAction { taken: AtomicBool::new(false), action: Mutex::new(Some(action)) }
    }

    /// The action, for the first to ask (P11).
    pub fn take(&self) -> Option<A> {
        // ORDERING: Release: whoever is told of what follows, by whatever means, finds it taken. The action's own
        // content comes with the handle that it is taken by.
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.action.lock().take()
    }

    /// Whether it was taken. One load.
    pub fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}

/// An action and what it is for.
#[derive(Debug)]
pub struct Cleanup<K, A> {
    /// What it is for.
    pub target: K,
    /// What is to be done.
    pub action: Arc<OnceAction<A>>,
}

/// Actions that wait for their objects to be condemned.
#[derive(Debug)]
pub struct Cleanups<K, A> {
    list: Mutex<List<K, A>>,
}

#[derive(Debug)]
struct List<K, A> {
    waiting: Pile<Cleanup<K, A>>,
    /// How many there are in it.
    count: usize,
    /// At this length the list is searched for actions that were taken by hand.
    purge_at: usize,
}

/// The least length at which a list is purged.
const PURGE_MIN: usize = 64;

impl<K, A> Default for Cleanups<K, A> {
    fn default() -> Self {
        Cleanups {
            list: Mutex::new(List { waiting: Pile::default(), count: 0, purge_at: PURGE_MIN }),
        }
    }
}

impl<K, A> Cleanups<K, A> {
    /// Adds an action. In an access, so that it is not in the middle of a finish.
    pub fn insert(&self, target: K, action: Arc<OnceAction<A>>) {
        let mut list = self.list.lock();
        if list.count >= list.purge_at {
            // For programs that clean by hand and hardly ever collect. An action that was taken is empty: no user
            // code is dropped here.
            list.waiting.retain(|cleanup| !cleanup.action.is_taken());
            list.count = list.waiting.len();
            list.purge_at = PURGE_MIN.max(list.count * 2);
        }
        list.waiting.push(Cleanup { target, action });
        list.count += 1;
    }

    /// Takes the whole list out. In a finish: the cost does not depend on the length.
    pub(crate) fn detach(&self) -> Pile<Cleanup<K, A>> {
        let mut list = self.list.lock();
        (list.purge_at, list.count) = (PURGE_MIN, 0);
        core::mem::take(&mut list.waiting)
    }

    /// How many wait, those that were taken by hand included.
    pub(crate) fn len(&self) -> usize {
        self.list.lock().count
    }

    /// As `put_pile_back`, of what was detached as one list.
    pub fn put_back(&self, living: Vec<Cleanup<K, A>>) {
        self.put_pile_back(living.into_iter().collect());
    }

    /// Takes the whole list out, in order.
    pub fn detach_all(&self) -> Vec<Cleanup<K, A>> {
        self.detach().into_vec()
    }

    /// Puts back what was detached and is not due, in front of what was inserted since (P13).
    pub(crate) fn put_pile_back(&self, living: Pile<Cleanup<K, A>>) {
        let mut list = self.list.lock();
        list.waiting.put_front(living);
        list.count = list.waiting.len();
        list.purge_at = PURGE_MIN.max(list.count * 2);
    }

    /// Makes room for what another list has, to take it over.
    pub fn prepare(&self, other: &Cleanups<K, A>) {
        let mut from = other.list.lock();
        self.list.lock().waiting.prepare(&mut from.waiting);
    }

    /// Takes over what another list has: its space's objects are merged into this one's.
    pub fn absorb(&self, other: &Cleanups<K, A>) {
        let mut from = other.list.lock();
        let mut list = self.list.lock();
        list.waiting.absorb(&mut from.waiting);
        list.count += core::mem::take(&mut from.count);
        list.purge_at = list.purge_at.max(list.count * 2);
        from.purge_at = PURGE_MIN;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.list.lock().waiting.is_empty()
    }

    /// Calls `f` for each target whose action waits.
    pub fn for_each(&self, mut f: impl FnMut(&K)) {
        let list = self.list.lock();
        list.waiting.iter().filter(|cleanup| !cleanup.action.is_taken()).for_each(|c| f(&c.target));
    }
}

#[cfg(all(test, not(cspace_loom)))]
mod tests {
    use super::*;

    fn action(number: u32) -> Arc<OnceAction<u32>> {
        Arc::new(OnceAction::new(number))
    }

    fn numbers(list: Vec<Cleanup<u8, u32>>) -> Vec<u32> {
        list.into_iter().filter_map(|cleanup| cleanup.action.take()).collect()
    }

    #[test]
    fn what_is_put_back_comes_before_what_was_inserted_since() {
        let list = Cleanups::<u8, u32>::default();
        (1..=2).for_each(|i| list.insert(0, action(i)));
        let detached = list.detach_all();
        list.insert(0, action(3));
        list.put_back(detached);
        assert_eq!(numbers(list.detach_all()), [1, 2, 3]);
        assert!(list.is_empty());
    }

    #[test]
    fn a_list_takes_over_another_and_keeps_its_order() {
        let (older, newer) = (Cleanups::<u8, u32>::default(), Cleanups::default());
        (1..=3).for_each(|i| older.insert(0, action(i)));
        let detached = older.detach_all();
        older.insert(0, action(4));
        newer.insert(1, action(10));
        newer.prepare(&older);
        newer.absorb(&older);
        // The batch comes back after the merge.
        newer.put_back(detached);
        newer.insert(0, action(5));
        let mut all = numbers(newer.detach_all());
        all.retain(|number| *number != 10);
        assert_eq!(all, [1, 2, 3, 4, 5]);
        assert!(older.is_empty());
    }

    #[test]
    #[cfg_attr(miri, ignore = "10,000 actions")]
    fn a_list_whose_actions_are_taken_by_hand_does_not_grow() {
        let list = Cleanups::<u8, u32>::default();
        let kept = action(0);
        list.insert(0, Arc::clone(&kept));
        for i in 1..10_000 {
            let action = action(i);
            list.insert(0, Arc::clone(&action));
            assert_eq!(action.take(), Some(i));
            assert_eq!(action.take(), None);
        }
        assert!(list.list.lock().waiting.len() <= PURGE_MIN);
        assert_eq!(numbers(list.detach_all()), [0]);
    }
}
