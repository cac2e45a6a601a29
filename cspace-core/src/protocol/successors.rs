//! Numbers that follow others ([`Successors`]): how a handle finds out where its object has gone.
//!
//! Every handle names the home of its object by a number, and so does every access. When spaces merge, the handles
//! of one of them go on under the other's number: its own *follows*. A handle whose number is not that of the access
//! looks for the last one that its number leads to, and remembers it. The next cycle gives every handle of the space
//! the last number; then nothing leads anywhere any more, and what followed is forgotten.
//!
//! - **P27 (found).** While an access keeps its space from being merged, a handle whose object is in the space resolves
//!   to the access's number, and no other handle does.
//! - **P28 (never back).** A number that follows another is never an access's again. So one that a handle remembers may
//!   be old, but not wrong.

use std::collections::HashMap;

use crate::sync::{AtomicU64, Mutex, Ordering};

/// Which number follows which.
#[derive(Debug, Default)]
pub struct Successors {
    next: Mutex<HashMap<u64, u64>>,
}

/// The least room that a table keeps.
const ROOM_MIN: usize = 1024;

impl Successors {
    /// `number` leads to `to` from now on. By a merge, which has both spaces to itself.
    pub fn follow(&self, number: u64, to: u64) {
        let before = self.next.lock().insert(number, to);
        debug_assert!(before.is_none(), "a number follows one other");
    }

    /// The last number that the one in the handle leads to. The handle has it afterwards.
    pub fn resolve(&self, handle: &AtomicU64) -> u64 {
        let next = self.next.lock();
        // ORDERING: what follows is forgotten with the mutex held after every handle was given the last number: who does
        // not find it any more finds that number in the handle.
        let mut number = handle.load(Ordering::Relaxed);
        while let Some(following) = next.get(&number) {
            number = *following;
        }
        handle.store(number, Ordering::Relaxed);
        number
    }

    /// Forgets numbers that no handle has any more, or whose space is gone.
    pub fn forget(&self, numbers: &mut Vec<u64>) {
        if numbers.is_empty() {
            return;
        }
        let mut next = self.next.lock();
        for number in numbers.drain(..) {
            next.remove(&number);
        }
        if next.capacity() / 4 > next.len().max(ROOM_MIN) {
            let room = next.len() * 2;
            next.shrink_to(room);
        }
    }

    /// How many numbers follow another.
    pub fn len(&self) -> usize {
        self.next.lock().len()
    }

    /// Whether no number follows another.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(cspace_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_handle_finds_the_last_number_and_remembers_it() {
        let numbers = Successors::default();
        (1..10).for_each(|number| numbers.follow(number, number + 1));
        let handle = AtomicU64::new(3);
        assert_eq!(numbers.resolve(&handle), 10);
        numbers.forget(&mut (1..10).collect());
        assert_eq!((numbers.resolve(&handle), numbers.len()), (10, 0));
        assert_eq!(numbers.resolve(&AtomicU64::new(3)), 3, "forgotten");
    }
}
