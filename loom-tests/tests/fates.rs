//! Victims of eviction: chosen beside readers, rescued by them, gone with the finish ([`Verdicts`]).
//!
//! The scene is that of `eviction.rs`: a collector chooses an object beside readers, takes what they rescued, and
//! condemns the object when it holds the lock alone, or gives the cycle up. A reader holds its lock for an access;
//! the finish waits for all of them.

use cspace_core::protocol::{Fate, Standing, Verdicts};
use cspace_core::sync::{AtomicU64, Ordering, Ordering::Relaxed};
use cspace_loom_tests::{play, play_bounded, spawn, Arc, Mutex, Plain};

/// The decisions about one object.
trait Decide: Send + Sync + 'static {
    fn new() -> Self;
    fn choose(&self, number: u64);
    fn is_gone(&self) -> bool;
    fn rescue(&self) -> bool;
    fn take_rescued(&self) -> usize;
    fn end(&self);
    fn give_up(&self);
}

struct Real {
    fate: Fate,
    verdicts: Verdicts<()>,
}

impl Decide for Real {
    fn new() -> Self {
        Real { fate: Fate::new(), verdicts: Verdicts::new() }
    }
    fn choose(&self, number: u64) {
        self.verdicts.begin(number);
        self.verdicts.choose(&self.fate, number);
    }
    fn is_gone(&self) -> bool {
        self.verdicts.standing(&self.fate) == Standing::Gone
    }
    fn rescue(&self) -> bool {
        self.verdicts.rescue(&self.fate, ())
    }
    fn take_rescued(&self) -> usize {
        self.verdicts.take_rescued().len()
    }
    fn end(&self) {
        self.verdicts.end();
    }
    fn give_up(&self) {
        self.verdicts.give_up(std::iter::once(&self.fate));
    }
}

/// An object, what is decided about it, and a lock for each reader.
struct Space<D> {
    decisions: D,
    object: Plain,
    locks: Vec<Mutex<()>>,
}

impl<D: Decide> Space<D> {
    fn new(readers: usize) -> Arc<Self> {
        Arc::new(Space {
            decisions: D::new(),
            object: Plain::new(1),
            locks: (0..readers).map(|_| Mutex::new(())).collect(),
        })
    }

    /// Gets the object in an access, if it is there.
    fn get(&self, reader: usize) -> bool {
        let _access = self.locks[reader].lock().unwrap();
        let there = self.decisions.rescue();
        if there {
            assert_eq!(self.object.read(), 1, "an object was got that is condemned");
        }
        there
    }

    /// Looks at the object in an access.
    fn peek(&self, reader: usize) -> bool {
        let _access = self.locks[reader].lock().unwrap();
        let there = !self.decisions.is_gone();
        if there {
            assert_eq!(self.object.read(), 1, "an object was seen that is condemned");
        }
        there
    }

    /// Condemns the object, unless it was rescued; returns whether it did. `looks`: whether the finish does.
    fn finish(&self, mut rescued: usize, looks: bool) -> bool {
        let _all: Vec<_> = self.locks.iter().map(|lock| lock.lock().unwrap()).collect();
        if looks {
            rescued += self.decisions.take_rescued();
        }
        assert!(rescued <= 1, "rescued twice");
        if rescued == 0 {
            self.object.write(0);
        }
        self.decisions.end();
        rescued == 0
    }
}

/// P14, P15: a reader gets the object twice while a cycle lets go of it.
fn what_is_got_is_whole_and_what_is_gone_stays_gone<D: Decide>(looks: bool) {
    play(move || {
        let space = Space::<D>::new(1);
        let reader = {
            let space = Arc::clone(&space);
            spawn(move || {
                let first = space.get(0);
                let second = space.get(0);
                assert!(first || !second, "an object came back");
                second
            })
        };
        space.decisions.choose(1);
        let rescued = space.decisions.take_rescued();
        let condemned = space.finish(rescued, looks);
        reader.join().unwrap();
        assert_eq!(space.get(0), !condemned, "the end is not what the finish did");
    });
}

/// P14: two readers get the object, or look at it, at once.
fn two_readers_rescue_once<D: Decide>() {
    play_bounded(3, || {
        let space = Space::<D>::new(2);
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let space = Arc::clone(&space);
                spawn(move || if reader == 0 { space.get(0) } else { space.peek(1) | space.get(1) })
            })
            .collect();
        space.decisions.choose(1);
        let condemned = space.finish(0, true);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(space.peek(0), !condemned);
    });
}

/// P16: a reader gets the object while a cycle chooses it and is given up.
fn a_cycle_that_is_given_up_decides_nothing<D: Decide>() {
    play(|| {
        let space = Space::<D>::new(1);
        let reader = {
            let space = Arc::clone(&space);
            spawn(move || assert!(space.get(0), "gone by a cycle that was given up"))
        };
        space.decisions.choose(1);
        space.decisions.give_up();
        reader.join().unwrap();
        assert_eq!(space.decisions.take_rescued(), 0, "rescued of a cycle that was given up");
        assert!(!space.decisions.is_gone());
    });
}

/// All of them: a cycle is given up, and the next one condemns, beside a reader that asks once.
fn the_cycle_after_one_that_was_given_up_decides_for_itself<D: Decide>() {
    play_bounded(3, || {
        let space = Space::<D>::new(1);
        let reader = {
            let space = Arc::clone(&space);
            spawn(move || space.get(0))
        };
        space.decisions.choose(1);
        space.decisions.give_up();
        space.decisions.choose(2);
        let condemned = space.finish(0, true);
        let got = reader.join().unwrap();
        assert!(got || condemned, "gone by a cycle that kept it");
        assert_eq!(space.get(0), !condemned);
    });
}

#[test]
fn p11_p12_what_is_got_is_whole_and_what_is_gone_stays_gone() {
    what_is_got_is_whole_and_what_is_gone_stays_gone::<Real>(true);
}

#[test]
fn p11_two_readers_at_once_rescue_once() {
    two_readers_rescue_once::<Real>();
}

#[test]
fn p13_a_cycle_that_is_given_up_decides_nothing() {
    a_cycle_that_is_given_up_decides_nothing::<Real>();
}

#[test]
fn p11_p13_the_cycle_after_one_that_was_given_up_decides_for_itself() {
    the_cycle_after_one_that_was_given_up_decides_for_itself::<Real>();
}

/// The copies themselves run on ordinary threads too, where nothing says that they fail.
mod weakened {
    use super::*;

    /// [`Verdicts`] of one object. `ORDERED`: the fate is stored with Release. `AGAIN`: a fate whose cycle is not
    /// pending is read again. `FATE_FIRST`: a cycle that is given up takes the fate back before it is not pending.
    /// `TOGETHER`: the fate is taken back and the object noted under one mutex.
    struct Weak<
        const ORDERED: bool,
        const AGAIN: bool,
        const FATE_FIRST: bool,
        const TOGETHER: bool,
    > {
        fate: AtomicU64,
        pending: AtomicU64,
        rescued: Mutex<usize>,
    }

    impl<const O: bool, const A: bool, const F: bool, const T: bool> Weak<O, A, F, T> {
        fn standing(&self) -> Standing {
            loop {
                let chosen = self.fate.load(Ordering::Acquire);
                if chosen == 0 {
                    return Standing::Kept;
                }
                if self.pending.load(Ordering::Acquire) == chosen {
                    return Standing::Chosen(chosen);
                }
                if !A || self.fate.load(Relaxed) == chosen {
                    return Standing::Gone;
                }
            }
        }
        fn take_back(&self, number: u64) -> bool {
            self.fate.compare_exchange(number, 0, Ordering::AcqRel, Relaxed).is_ok()
        }
    }

    impl<const O: bool, const A: bool, const F: bool, const T: bool> Decide for Weak<O, A, F, T> {
        fn new() -> Self {
            let (fate, pending) = (AtomicU64::new(0), AtomicU64::new(0));
            Weak { fate, pending, rescued: Mutex::new(0) }
        }
        fn choose(&self, number: u64) {
            self.pending.store(number, Relaxed);
            self.fate.store(number, if O { Ordering::Release } else { Relaxed });
        }
        fn is_gone(&self) -> bool {
            self.standing() == Standing::Gone
        }
        fn rescue(&self) -> bool {
            loop {
                match self.standing() {
                    Standing::Kept => return true,
                    Standing::Gone => return false,
                    Standing::Chosen(number) => {
                        if T {
                            let mut rescued = self.rescued.lock().unwrap();
                            if self.take_back(number) {
                                *rescued += 1;
                                return true;
                            }
                        } else if self.take_back(number) {
                            *self.rescued.lock().unwrap() += 1;
                            return true;
                        }
                    }
                }
            }
        }
        fn take_rescued(&self) -> usize {
            std::mem::take(&mut *self.rescued.lock().unwrap())
        }
        fn end(&self) {
            self.pending.store(0, Relaxed);
        }
        fn give_up(&self) {
            let mut rescued = self.rescued.lock().unwrap();
            if F {
                self.fate.store(0, Relaxed);
                self.pending.store(0, Ordering::Release);
            } else {
                self.pending.store(0, Ordering::Release);
                self.fate.store(0, Relaxed);
            }
            *rescued = 0;
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        what_is_got_is_whole_and_what_is_gone_stays_gone::<Weak<true, true, true, true>>(true);
        a_cycle_that_is_given_up_decides_nothing::<Weak<true, true, true, true>>();
    }

    #[cfg(cspace_loom)]
    #[test]
    #[should_panic = "an object came back"]
    fn a_fate_that_is_seen_before_its_cycle_is_pending_is_found_out() {
        what_is_got_is_whole_and_what_is_gone_stays_gone::<Weak<false, true, true, true>>(true);
    }

    #[cfg(cspace_loom)]
    #[test]
    #[should_panic]
    fn a_finish_that_does_not_look_for_the_rescued_is_found_out() {
        what_is_got_is_whole_and_what_is_gone_stays_gone::<Weak<true, true, true, true>>(false);
    }

    #[cfg(cspace_loom)]
    #[test]
    #[should_panic = "gone by a cycle that was given up"]
    fn not_looking_again_is_found_out() {
        a_cycle_that_is_given_up_decides_nothing::<Weak<true, false, true, true>>();
    }

    #[cfg(cspace_loom)]
    #[test]
    #[should_panic = "gone by a cycle that was given up"]
    fn taking_the_fate_back_last_is_found_out() {
        a_cycle_that_is_given_up_decides_nothing::<Weak<true, true, false, true>>();
    }

    #[cfg(cspace_loom)]
    #[test]
    #[should_panic = "rescued of a cycle that was given up"]
    fn noting_the_rescued_after_it_was_taken_back_is_found_out() {
        a_cycle_that_is_given_up_decides_nothing::<Weak<true, true, true, false>>();
    }
}
