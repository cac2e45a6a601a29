//! State that moves into another's when spaces merge ([`Forwarding`]).

use std::sync::Arc;

use crate::sync::Mutex;

/// A place of some state, which may be joined with that of another place, once and for all. Who has either place goes
/// on using it.
///
/// Of two places that are joined the one to which more others lead stays, so that a way has few steps, and state that
/// moves to and fro stays where it is: what leads nowhere else is dropped with its last user.
///
/// - **P17 (found).** A use finds the state at the end of all moves: there is one at a time.
/// - **P18 (whole).** A use comes before a move or after it: nobody finds what was taken out and not yet put in.
#[derive(Debug)]
pub struct Forwarding<T> {
    place: Mutex<Place<T>>,
}

#[derive(Debug)]
enum Place<T> {
    /// In a box: a place that has moved is small.
    Here {
        state: Box<T>,
        rank: u32,
    },
    Moved(Arc<Forwarding<T>>),
    /// While it is dropped.
    Ended,
}

impl<T> Forwarding<T> {
    /// A place of its own.
    pub fn new(state: T) -> Arc<Forwarding<T>> {
        Arc::new(Forwarding { place: Mutex::new(Place::Here { state: Box::new(state), rank: 0 }) })
    }

    /// Uses the state. `f` must not use another place.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut at = match &mut *self.place.lock() {
            Place::Here { state, .. } => return f(state),
            Place::Moved(next) => Arc::clone(next),
            Place::Ended => unreachable!("a reference to it exists"),
        };
        let mut is_far = false;
        let result = loop {
            let next = match &mut *at.place.lock() {
                Place::Here { state, .. } => break f(state),
                Place::Moved(next) => Arc::clone(next),
                Place::Ended => unreachable!("a reference to it exists"),
            };
            (at, is_far) = (next, true);
        };
        if is_far {
            // The next use has a shorter way.
            let way = core::mem::replace(&mut *self.place.lock(), Place::Moved(at));
            drop(way);
        }
        result
    }

    /// Adds the state to that of `target`, and returns where the sum is from now on: here or there. Neither has moved
    /// before, and nobody joins either meanwhile. Allocates nothing.
    pub fn join(
        self: &Arc<Self>,
        target: &Arc<Self>,
        add: impl FnOnce(&mut T, &mut T),
    ) -> Arc<Forwarding<T>> {
        let mut source_place = self.place.lock();
        // Both at once (P18). Who has the second waits for no other, as it is no source.
        let mut target_place = target.place.lock();
        let (Place::Here { state, rank }, Place::Here { state: into, rank: target_rank }) =
            (&mut *source_place, &mut *target_place)
        else {
            panic!("the state has moved before");
        };
        add(state, into);
        if rank > target_rank {
            core::mem::swap(state, into);
            let old = core::mem::replace(&mut *target_place, Place::Moved(Arc::clone(self)));
            drop((source_place, target_place));
            drop(old);
            return Arc::clone(self);
        }
        *target_rank += u32::from(rank == target_rank);
        let old = core::mem::replace(&mut *source_place, Place::Moved(Arc::clone(target)));
        drop((source_place, target_place));
        drop(old);
        Arc::clone(target)
    }

    /// Takes out where the state has moved to.
    fn take_next(&mut self) -> Option<Arc<Forwarding<T>>> {
        match core::mem::replace(&mut *self.place.lock(), Place::Ended) {
            Place::Moved(next) => Some(next),
            _ => None,
        }
    }
}

impl<T> Drop for Forwarding<T> {
    /// One after the other: a long way of moves is no deep recursion.
    fn drop(&mut self) {
        let mut next = self.take_next();
        while let Some(at) = next {
            next = Arc::into_inner(at).and_then(|mut at| at.take_next());
        }
    }
}

#[cfg(all(test, not(cspace_loom)))]
mod tests {
    use super::*;

    fn add(from: &mut u32, into: &mut u32) {
        *into += *from;
    }

    #[test]
    fn old_places_lead_to_where_the_state_is() {
        let places: Vec<_> = (0..4).map(|i| Forwarding::new(1 << i)).collect();
        let mut at = Arc::clone(&places[0]);
        for next in &places[1..] {
            at = at.join(next, add);
        }
        for place in &places {
            assert_eq!(place.with(|sum| *sum), 15);
        }
        places[0].with(|sum| *sum += 100);
        assert_eq!(places[3].with(|sum| *sum), 115);
    }

    /// How many steps it is to the state.
    fn steps(place: &Arc<Forwarding<u32>>) -> usize {
        let (mut at, mut count) = (Arc::clone(place), 0);
        loop {
            let next = match &*at.place.lock() {
                Place::Moved(next) => Arc::clone(next),
                _ => return count,
            };
            (at, count) = (next, count + 1);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million moves")]
    fn state_that_moves_a_million_times_stays_near_its_users() {
        let (first, mut at) = (Forwarding::new(0), Forwarding::new(0));
        at = first.join(&at, add);
        for _ in 0..1_000_000 {
            at = at.join(&Forwarding::new(1), add);
        }
        assert_eq!(steps(&first), 1);
        // The place's own, that of `first`, and this one: none of the others is left.
        assert_eq!(Arc::strong_count(&at), 2);
        assert_eq!(first.with(|sum| *sum), 1_000_000);
    }

    #[test]
    #[cfg_attr(miri, ignore = "1,024 places")]
    fn a_way_has_few_steps_however_places_are_joined() {
        let all: Vec<_> = (0..1024).map(|_| Forwarding::new(1)).collect();
        let mut round = all.clone();
        while round.len() > 1 {
            round = round.chunks(2).map(|pair| pair[0].join(&pair[1], add)).collect();
        }
        assert!(all.iter().all(|place| steps(place) <= 10));
        assert!(all.iter().all(|place| place.with(|sum| *sum) == 1024));
        // A use makes the way short.
        assert!(all.iter().all(|place| steps(place) <= 1));
    }
}
