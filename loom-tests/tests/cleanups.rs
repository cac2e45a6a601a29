//! Registration against condemnation, cleaning by hand against it, and the hand-over of tokens
//! ([`Cleanups`], [`OnceAction`]).
//!
//! The scenes are those of `cleaner.rs` and `cspace-gc`'s `reference.rs`. A mutex stands for the space's lock: an
//! access of one reader, or the finish. The mark goes on beside the reader.

use cspace_core::protocol::{Cleanup, Cleanups, OnceAction};
use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play, play_bounded, spawn, Mutex};
use std::sync::Arc;

trait Once: Send + Sync + 'static {
    fn new(action: u32) -> Self;
    /// Takes the action and does `run` with it; whether it was there.
    fn run(&self, run: impl FnOnce(u32)) -> bool;
    fn is_taken(&self) -> bool;
}

impl Once for OnceAction<u32> {
    fn new(action: u32) -> Self {
        OnceAction::new(action)
    }
    fn run(&self, run: impl FnOnce(u32)) -> bool {
        let action = self.take();
        action.map(run).is_some()
    }
    fn is_taken(&self) -> bool {
        self.is_taken()
    }
}

/// P11: the batch and somebody by hand.
fn an_action_runs_once<O: Once>() {
    play(|| {
        let (action, runs) = (Arc::new(O::new(1)), Arc::new(AtomicUsize::new(0)));
        let by_hand = {
            let (action, runs) = (Arc::clone(&action), Arc::clone(&runs));
            spawn(move || action.run(|_| _ = runs.fetch_add(1, Relaxed)))
        };
        let mine = action.run(|_| _ = runs.fetch_add(1, Relaxed));
        let theirs = by_hand.join().unwrap();
        assert_eq!(runs.load(Relaxed), 1, "an action did not run once");
        assert!(mine != theirs, "both or neither was told that it ran it");
        assert!(action.is_taken());
    });
}

/// P11: a token is sent by the action of its reference, and a thread that has it looks at the reference.
fn a_token_comes_when_its_reference_is_cleared<O: Once>() {
    play(|| {
        let shared = Arc::new((O::new(7), Mutex::new(Vec::new())));
        let sender = {
            let shared = Arc::clone(&shared);
            spawn(move || shared.0.run(|token| shared.1.lock().unwrap().push(token)))
        };
        let token = shared.1.lock().unwrap().pop();
        if token.is_some() {
            assert!(shared.0.is_taken(), "a token came before its reference was cleared");
        }
        assert!(sender.join().unwrap());
        let sent = token.or_else(|| shared.1.lock().unwrap().pop());
        assert_eq!(sent, Some(7), "a token was lost");
    });
}

trait List: Send + Sync + 'static {
    fn new() -> Self;
    fn insert(&self, target: usize, action: u32);
    fn detach(&self) -> Vec<(usize, u32)>;
    fn put_back(&self, living: Vec<(usize, u32)>);
}

impl List for Cleanups<usize, u32> {
    fn new() -> Self {
        Cleanups::default()
    }
    fn insert(&self, target: usize, action: u32) {
        self.insert(target, Arc::new(OnceAction::new(action)));
    }
    fn detach(&self) -> Vec<(usize, u32)> {
        self.detach_all()
            .into_iter()
            .map(|entry| (entry.target, entry.action.take().unwrap()))
            .collect()
    }
    fn put_back(&self, living: Vec<(usize, u32)>) {
        let entry =
            |(target, action)| Cleanup { target, action: Arc::new(OnceAction::new(action)) };
        Cleanups::put_back(self, living.into_iter().map(entry).collect());
    }
}

/// When the collector takes the list out.
#[derive(Clone, Copy, PartialEq)]
enum Detach {
    WhileMarking,
    InTheFinish,
    AfterTheFinish,
}

/// When it looks at marks.
#[derive(Clone, Copy, PartialEq)]
enum Examine {
    BeforeTheSweep,
    AfterTheSweep,
}

/// A space with two places: an object that a weak reference leads to and that dies in this cycle, and one that lives.
struct Space<L> {
    /// Whether the weak reference shows the first object. Of the lock's holder.
    lock: Mutex<bool>,
    list: L,
    marks: [AtomicUsize; 2],
}

const DYING: usize = 0;
const LIVING: usize = 1;

impl<L: List> Space<L> {
    fn cycle(&self, detach: Detach, examine: Examine) -> Vec<u32> {
        self.marks[LIVING].store(1, Relaxed);
        let early = if detach == Detach::WhileMarking { self.list.detach() } else { Vec::new() };
        let mut weak = self.lock.lock().unwrap();
        *weak = false;
        let mut all = early;
        if detach == Detach::InTheFinish {
            all = self.list.detach();
        }
        drop(weak);
        if detach == Detach::AfterTheFinish {
            all = self.list.detach();
        }
        let sweep = || self.marks.iter().for_each(|mark| mark.store(0, Relaxed));
        if examine == Examine::AfterTheSweep {
            sweep();
        }
        let is_marked = |target: usize| self.marks[target].load(Relaxed) == 1;
        let (living, dead): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(target, _)| is_marked(*target));
        self.list.put_back(living);
        if examine == Examine::BeforeTheSweep {
            sweep();
        }
        dead.into_iter().map(|(_, action)| action).collect()
    }
}

/// P12: a reader registers with an object that it reached through a weak reference, which dies in the cycle that is
/// under way, and with one that lives; in one access or in two.
fn what_is_registered_is_not_missed<L: List>(detach: Detach, examine: Examine) {
    play_bounded(3, move || {
        let space = Arc::new(Space {
            lock: Mutex::new(true),
            list: L::new(),
            marks: [AtomicUsize::new(0), AtomicUsize::new(0)],
        });
        let reader = {
            let space = Arc::clone(&space);
            spawn(move || {
                let weak = space.lock.lock().unwrap();
                space.list.insert(LIVING, 2);
                let registered = *weak;
                if registered {
                    space.list.insert(DYING, 1);
                }
                drop(weak);
                // An access of its own: a living object, or one in the first place that was made there since.
                let weak = space.lock.lock().unwrap();
                if !*weak {
                    space.list.insert(DYING, 3);
                }
                registered
            })
        };
        let dead = space.cycle(detach, examine);
        let registered = reader.join().unwrap();
        let ran_first = dead.contains(&1);
        assert!(!dead.contains(&2), "an action ran for a living object");
        assert!(!dead.contains(&3), "an action ran for an object that was made after the finish");
        assert_eq!(ran_first, registered, "an action was missed");
        let left = space.list.detach();
        assert!(!left.contains(&(DYING, 1)), "an entry outlived its object");
        assert!(left.contains(&(LIVING, 2)), "an action was lost");
    });
}

/// P12, P13: the batch puts back while a reader registers.
fn what_is_put_back_stays_in_order<L: List>() {
    play(|| {
        let list = Arc::new(L::new());
        list.insert(0, 1);
        list.insert(0, 2);
        let detached = list.detach();
        let reader = {
            let list = Arc::clone(&list);
            spawn(move || list.insert(0, 3))
        };
        list.put_back(detached);
        reader.join().unwrap();
        let all: Vec<_> = list.detach().into_iter().map(|(_, action)| action).collect();
        assert_eq!(all, [1, 2, 3], "actions are lost, or out of order");
    });
}

type Whole = Cleanups<usize, u32>;

#[test]
fn p11_of_the_batch_and_the_hand_one_runs_the_action() {
    an_action_runs_once::<OnceAction<u32>>();
}

#[test]
fn p11_a_token_that_comes_finds_its_reference_cleared() {
    a_token_comes_when_its_reference_is_cleared::<OnceAction<u32>>();
}

#[test]
fn p12_what_a_reader_registers_beside_a_mark_is_examined_by_its_cycle() {
    what_is_registered_is_not_missed::<Whole>(Detach::InTheFinish, Examine::BeforeTheSweep);
}

#[test]
fn p13_what_is_put_back_is_in_front_of_what_came_meanwhile() {
    what_is_put_back_stays_in_order::<Whole>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

    /// A copy of [`OnceAction`]: with a load and a store for its swap, or marked as taken when it has run.
    struct Weak<const SWAPS: bool, const TAKEN_FIRST: bool> {
        taken: AtomicBool,
        action: u32,
        /// Keeps the second kind to one run.
        running: AtomicBool,
    }

    impl<const S: bool, const T: bool> Once for Weak<S, T> {
        fn new(action: u32) -> Self {
            Weak { taken: AtomicBool::new(false), action, running: AtomicBool::new(false) }
        }
        fn run(&self, run: impl FnOnce(u32)) -> bool {
            let flag = if T { &self.taken } else { &self.running };
            let was_taken = if S {
                flag.swap(true, AcqRel)
            } else {
                let was = flag.load(Acquire);
                flag.store(true, Release);
                was
            };
            if !was_taken {
                run(self.action);
                self.taken.store(true, Release);
            }
            !was_taken
        }
        fn is_taken(&self) -> bool {
            self.taken.load(Acquire)
        }
    }

    /// A copy of [`Cleanups`]: puts back in two steps, or behind what was inserted since.
    struct WeakList<const ONE_STEP: bool, const IN_FRONT: bool>(Mutex<Vec<(usize, u32)>>);

    impl<const O: bool, const F: bool> List for WeakList<O, F> {
        fn new() -> Self {
            WeakList(Mutex::new(Vec::new()))
        }
        fn insert(&self, target: usize, action: u32) {
            self.0.lock().unwrap().push((target, action));
        }
        fn detach(&self) -> Vec<(usize, u32)> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
        fn put_back(&self, mut living: Vec<(usize, u32)>) {
            let mut list = self.0.lock().unwrap();
            if !F {
                list.append(&mut living);
                return;
            }
            living.append(&mut list.clone());
            if !O {
                drop(list);
                list = self.0.lock().unwrap();
            }
            *list = living;
        }
    }

    #[test]
    fn the_copies_without_a_weakness_pass() {
        an_action_runs_once::<Weak<true, true>>();
        a_token_comes_when_its_reference_is_cleared::<Weak<true, true>>();
        what_is_put_back_stays_in_order::<WeakList<true, true>>();
        let (detach, examine) = (Detach::InTheFinish, Examine::BeforeTheSweep);
        what_is_registered_is_not_missed::<WeakList<true, true>>(detach, examine);
    }

    #[test]
    #[should_panic = "an action did not run once"]
    fn taking_without_a_swap_is_found_out() {
        an_action_runs_once::<Weak<false, true>>();
    }

    #[test]
    #[should_panic = "a token came before its reference was cleared"]
    fn clearing_after_the_token_was_sent_is_found_out() {
        a_token_comes_when_its_reference_is_cleared::<Weak<true, false>>();
    }

    #[test]
    #[should_panic = "actions are lost, or out of order"]
    fn putting_back_in_two_steps_is_found_out() {
        what_is_put_back_stays_in_order::<WeakList<false, true>>();
    }

    #[test]
    #[should_panic = "actions are lost, or out of order"]
    fn putting_back_behind_is_found_out() {
        what_is_put_back_stays_in_order::<WeakList<true, false>>();
    }

    #[test]
    #[should_panic = "an action was missed"]
    fn taking_the_list_out_while_readers_are_in_is_found_out() {
        what_is_registered_is_not_missed::<Whole>(Detach::WhileMarking, Examine::BeforeTheSweep);
    }

    #[test]
    #[should_panic = "an action ran for an object that was made after the finish"]
    fn taking_the_list_out_when_others_are_in_again_is_found_out() {
        what_is_registered_is_not_missed::<Whole>(Detach::AfterTheFinish, Examine::BeforeTheSweep);
    }

    #[test]
    #[should_panic = "an action ran for a living object"]
    fn looking_at_marks_after_the_sweep_is_found_out() {
        what_is_registered_is_not_missed::<Whole>(Detach::InTheFinish, Examine::AfterTheSweep);
    }
}
