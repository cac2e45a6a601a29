//! Charges against a merge ([`Forwarding`]).
//!
//! The scene is that of `ledger.rs`: a charge is given back and another one made while the books move into those of
//! the target, which somebody reads.

use cspace_core::protocol::Forwarding;
use cspace_loom_tests::{play, spawn};
use std::sync::Arc;

trait Places: Send + Sync + 'static {
    fn new(state: isize) -> Arc<Self>;
    fn with<R>(&self, f: impl FnOnce(&mut isize) -> R) -> R;
    /// Moves the state into the target's, and returns where it is then.
    fn join(self: &Arc<Self>, target: &Arc<Self>) -> Arc<Self>;
}

fn add(from: &mut isize, into: &mut isize) {
    *into += *from;
}

impl Places for Forwarding<isize> {
    fn new(state: isize) -> Arc<Self> {
        Forwarding::new(state)
    }
    fn with<R>(&self, f: impl FnOnce(&mut isize) -> R) -> R {
        self.with(f)
    }
    fn join(self: &Arc<Self>, target: &Arc<Self>) -> Arc<Self> {
        self.join(target, add)
    }
}

/// P17, P18: a charge of 3 is given back through the old place, and nothing that was charged is lost.
fn a_charge_is_given_back_where_it_is<P: Places>() {
    play(|| {
        let (source, target) = (P::new(3), P::new(4));
        let charge = {
            let source = Arc::clone(&source);
            spawn(move || {
                source.with(|sum| {
                    assert!(*sum == 3 || *sum == 7, "books of {sum}");
                    *sum -= 3;
                });
            })
        };
        source.join(&target);
        charge.join().unwrap();
        assert_eq!(target.with(|sum| *sum), 4, "what was given back was lost");
        assert_eq!(source.with(|sum| *sum), 4, "there are two books");
    });
}

/// P18: two moves one after the other, and a reader of the first place.
fn a_use_sees_all_of_a_move_or_nothing<P: Places>(to_and_fro: bool) {
    play(move || {
        let places = [P::new(1), P::new(2), P::new(4)];
        let reader = {
            let first = Arc::clone(&places[0]);
            spawn(move || (first.with(|sum| *sum), first.with(|sum| *sum)))
        };
        let sum = places[0].join(&places[1]);
        if to_and_fro {
            // The sum is at a place of more users than the next one, so it stays there.
            sum.join(&places[2]);
        } else {
            sum.join(&places[2].join(&P::new(0)));
        }
        let (once, again) = reader.join().unwrap();
        assert!([1, 3, 7].contains(&once) && again >= once, "books of {once}, then {again}");
        assert!([1, 3, 7].contains(&again), "books of {again}");
    });
}

/// How many bytes there may be.
const LIMIT: isize = 5;

/// A charge, if it is within the limit.
fn charge<P: Places>(books: &P, bytes: isize) -> bool {
    books.with(|sum| {
        let fits = *sum + bytes <= LIMIT;
        if fits {
            *sum += bytes;
        }
        fits
    })
}

/// P17, P18, and what `ledger.rs` calls LG2: two charges of which one fits, one of them through the old place; who was
/// refused tries again when the other has given back.
fn charges_do_not_pass_the_limit_together<P: Places>(charge: fn(&P, isize) -> bool) {
    play(move || {
        let (source, target) = (P::new(0), P::new(0));
        let other = {
            let source = Arc::clone(&source);
            spawn(move || {
                let fits = charge(&source, 3);
                if fits {
                    source.with(|sum| {
                        assert!(*sum <= LIMIT, "charges of {sum} together");
                        *sum -= 3;
                    });
                }
                fits
            })
        };
        source.join(&target);
        let fits = charge(&target, 3);
        target.with(|sum| assert!(*sum <= LIMIT, "charges of {sum} together"));
        let other_fits = other.join().unwrap();
        assert!(fits || other_fits, "both were refused");
        assert!(fits || charge(&target, 3), "there was room when the other had given back");
        assert_eq!(target.with(|sum| *sum), 3, "bytes were lost");
    });
}

#[test]
fn charges_keep_to_the_limit() {
    charges_do_not_pass_the_limit_together::<Forwarding<isize>>(charge);
}

#[test]
fn charges_find_their_books() {
    a_charge_is_given_back_where_it_is::<Forwarding<isize>>();
    a_use_sees_all_of_a_move_or_nothing::<Forwarding<isize>>(true);
    a_use_sees_all_of_a_move_or_nothing::<Forwarding<isize>>(false);
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::Mutex;

    /// A place that is found by looking first and using then.
    struct Looks {
        state: Mutex<isize>,
        next: Mutex<Option<Arc<Looks>>>,
    }

    impl Places for Looks {
        fn new(state: isize) -> Arc<Self> {
            Arc::new(Looks { state: Mutex::new(state), next: Mutex::new(None) })
        }
        fn with<R>(&self, f: impl FnOnce(&mut isize) -> R) -> R {
            let next = self.next.lock().clone();
            match next {
                Some(next) => next.with(f),
                None => f(&mut self.state.lock()),
            }
        }
        fn join(self: &Arc<Self>, target: &Arc<Self>) -> Arc<Self> {
            let mut next = self.next.lock();
            let state = std::mem::take(&mut *self.state.lock());
            target.with(|into| *into += state);
            *next = Some(Arc::clone(target));
            Arc::clone(target)
        }
    }

    #[test]
    #[should_panic(expected = "books of")]
    fn without_one_mutex_for_place_and_state_a_charge_is_lost() {
        a_charge_is_given_back_where_it_is::<Looks>();
    }

    /// A place that lets go of the source before it adds to the target.
    struct InTwoSteps(Arc<Mutex<Place>>);

    enum Place {
        Here(isize),
        There(Arc<InTwoSteps>),
    }

    impl Places for InTwoSteps {
        fn new(state: isize) -> Arc<Self> {
            Arc::new(InTwoSteps(Arc::new(Mutex::new(Place::Here(state)))))
        }
        fn with<R>(&self, f: impl FnOnce(&mut isize) -> R) -> R {
            let next = match &mut *self.0.lock() {
                Place::Here(state) => return f(state),
                Place::There(next) => Arc::clone(next),
            };
            next.with(f)
        }
        fn join(self: &Arc<Self>, target: &Arc<Self>) -> Arc<Self> {
            let moved = std::mem::replace(&mut *self.0.lock(), Place::There(Arc::clone(target)));
            let Place::Here(state) = moved else { panic!("moved before") };
            target.with(|into| *into += state);
            Arc::clone(target)
        }
    }

    #[test]
    #[should_panic(expected = "books of")]
    fn in_two_steps_somebody_finds_what_is_in_neither() {
        a_charge_is_given_back_where_it_is::<InTwoSteps>();
    }

    /// A charge that looks first, and adds then.
    fn charge_in_two_steps<P: Places>(books: &P, bytes: isize) -> bool {
        let fits = books.with(|sum| *sum + bytes <= LIMIT);
        if fits {
            books.with(|sum| *sum += bytes);
        }
        fits
    }

    #[test]
    #[should_panic(expected = "together")]
    fn looking_before_adding_passes_the_limit() {
        charges_do_not_pass_the_limit_together::<Forwarding<isize>>(charge_in_two_steps);
    }
}
