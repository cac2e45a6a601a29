//! State that moves into another's when spaces merge ([`Forwarding`]).

use std::sync::Arc;

use crate::sync::Mutex;

/// A place of some state, which may move into the state of another place, once and for all. Who has the old place
/// goes on using it.
///
/// - **P17 (found).** A use finds the state at the end of all moves: there is one at a time.
/// - **P18 (whole).** A use comes before a move or after it: nobody finds what was taken out and not yet put in.
#[derive(Debug)]
pub struct Forwarding<T> {
    place: Mutex<Place<T>>,
}

#[derive(Debug)]
enum Place<T> {
    Here(T),
    Moved(Arc<Forwarding<T>>),
    /// While it is dropped.
    Ended,
}

impl<T> Forwarding<T> {
    /// A place of its own.
    pub fn new(state: T) -> Arc<Forwarding<T>> {
        Arc::new(Forwarding { place: Mutex::new(Place::Here(state)) })
    }

    /// Uses the state. `f` must not use another place.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut at = match &mut *self.place.lock() {
            Place::Here(state) => return f(state),
            Place::Moved(next) => Arc::clone(next),
            Place::Ended => unreachable!("a reference to it exists"),
        };
        let mut is_far = false;
        let result = loop {
            let next = match &mut *at.place.lock() {
                Place::Here(state) => break f(state),
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

    /// Moves the state into that of `target`. Neither has moved before, and nobody moves the target's meanwhile.
    pub fn move_into(&self, target: &Arc<Forwarding<T>>, add: impl FnOnce(T, &mut T)) {
        let mut source = self.place.lock();
        // Both at once (P18). Who has the second waits for no other, as it is no source.
        let mut target_place = target.place.lock();
        let Place::Here(into) = &mut *target_place else { panic!("the target's state has moved") };
        match core::mem::replace(&mut *source, Place::Moved(Arc::clone(target))) {
            Place::Here(state) => add(state, into),
            _ => panic!("the state has moved before"),
        }
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

    fn add(from: u32, into: &mut u32) {
        *into += from;
    }

    #[test]
    fn old_places_lead_to_where_the_state_is() {
        let places: Vec<_> = (0..4).map(|i| Forwarding::new(1 << i)).collect();
        places[0].move_into(&places[1], add);
        places[1].move_into(&places[2], add);
        places[2].move_into(&places[3], add);
        for place in &places {
            assert_eq!(place.with(|sum| *sum), 15);
        }
        places[0].with(|sum| *sum += 100);
        assert_eq!(places[3].with(|sum| *sum), 115);
    }

    #[test]
    fn a_long_way_is_dropped_and_walked_without_recursion() {
        for walks in [false, true] {
            let first = Forwarding::new(0);
            let mut last = Arc::clone(&first);
            for _ in 0..1_000_000 {
                let next = Forwarding::new(1);
                last.move_into(&next, add);
                last = next;
            }
            drop(last);
            if walks {
                assert_eq!(first.with(|sum| *sum), 1_000_000);
            }
            drop(first);
        }
    }
}
