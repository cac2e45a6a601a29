//! Collections by time ([`ChangeFlag`]): what a cycle did not see is noted, and the first note wakes who sleeps.
//!
//! The scene is that of `root.rs` and `control.rs`: handles are let go of, which is noted with the mutex held that the
//! mark takes before it looks; the driver sleeps ([`Signal`]) when nothing was noted.

use cspace_core::protocol::ChangeFlag;
use cspace_core::sync::{AtomicUsize, Mutex, Ordering::Relaxed};
use cspace_gc::protocol::Signal;
use cspace_loom_tests::{play, play_bounded, spawn, Arc};

trait Flag: Send + Sync + 'static {
    fn new() -> Self;
    fn note(&self) -> bool;
    fn begin_cycle(&self);
    fn is_changed(&self) -> bool;
    fn sleep(&self) -> bool;
}

impl Flag for ChangeFlag {
    fn new() -> Self {
        ChangeFlag::new()
    }
    fn note(&self) -> bool {
        self.note()
    }
    fn begin_cycle(&self) {
        self.begin_cycle();
    }
    fn is_changed(&self) -> bool {
        self.is_changed()
    }
    fn sleep(&self) -> bool {
        self.sleep()
    }
}

struct Space<F> {
    flag: F,
    signal: Signal,
    /// Handles that are gone: the mark looks at it, after it has had the mutex.
    gone: AtomicUsize,
    roots: Mutex<()>,
}

impl<F: Flag> Space<F> {
    fn new() -> Arc<Space<F>> {
        Arc::new(Space {
            flag: F::new(),
            signal: Signal::new(),
            gone: AtomicUsize::new(0),
            roots: Mutex::new(()),
        })
    }

    fn let_go(&self) {
        // ORDERING: the mutex is to order it.
        self.gone.fetch_add(1, Relaxed);
        let locked = self.roots.lock();
        let asleep = self.flag.note();
        drop(locked);
        if asleep {
            self.signal.wake();
        }
    }

    /// A cycle; how many handles it found to be gone.
    fn collect(&self, begins_first: bool) -> usize {
        if begins_first {
            self.flag.begin_cycle();
        }
        drop(self.roots.lock());
        let gone = self.gone.load(Relaxed);
        if !begins_first {
            self.flag.begin_cycle();
        }
        gone
    }
}

/// P23: a handle is let go of beside a cycle, which follows another change.
fn what_a_cycle_does_not_see_is_noted<F: Flag>(begins_first: bool) {
    play(move || {
        let space = Space::<F>::new();
        let _ = space.flag.note();
        let other = {
            let space = Arc::clone(&space);
            spawn(move || space.let_go())
        };
        let seen = space.collect(begins_first);
        other.join().unwrap();
        assert!(seen == 1 || space.flag.is_changed(), "a change was lost");
    });
}

/// P24: two threads let go of handles; the driver collects when something changed, and sleeps else. It ends when it
/// has found both.
fn the_driver_sleeps_until_something_changes<F: Flag>() {
    play_bounded(3, || {
        let space = Space::<F>::new();
        let driver = {
            let space = Arc::clone(&space);
            spawn(move || loop {
                let seen = space.signal.look();
                if space.flag.is_changed() {
                    if space.collect(true) == 2 {
                        return;
                    }
                } else if space.flag.sleep() {
                    space.signal.wait(seen, None);
                }
            })
        };
        let other = {
            let space = Arc::clone(&space);
            spawn(move || space.let_go())
        };
        space.let_go();
        other.join().unwrap();
        driver.join().unwrap();
    });
}

#[test]
fn p23_what_a_cycle_does_not_see_is_noted() {
    what_a_cycle_does_not_see_is_noted::<ChangeFlag>(true);
}

#[test]
fn p24_the_first_change_wakes_who_sleeps() {
    the_driver_sleeps_until_something_changes::<ChangeFlag>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{AtomicU8, Ordering};
    use cspace_loom_tests::deadlocks;

    const CHANGED: u8 = 0;
    const UNCHANGED: u8 = 1;
    const ASLEEP: u8 = 2;

    /// [`ChangeFlag`] whose sleeper does not look at what it writes over, whose notes do not, or whose cycles forget
    /// who sleeps.
    struct Weak<const SLEEPS: bool, const NOTES: bool, const KEEPS: bool>(AtomicU8);

    impl<const SLEEPS: bool, const NOTES: bool, const KEEPS: bool> Flag for Weak<SLEEPS, NOTES, KEEPS> {
        fn new() -> Self {
            Weak(AtomicU8::new(UNCHANGED))
        }
        fn note(&self) -> bool {
            let seen = self.0.load(Ordering::Relaxed);
            if seen == CHANGED {
                return false;
            }
            if NOTES {
                return self.0.swap(CHANGED, Ordering::AcqRel) == ASLEEP;
            }
            self.0.store(CHANGED, Ordering::Release);
            seen == ASLEEP
        }
        fn begin_cycle(&self) {
            if KEEPS {
                let (ok, err) = (Ordering::AcqRel, Ordering::Acquire);
                let _ = self.0.compare_exchange(CHANGED, UNCHANGED, ok, err);
            } else {
                self.0.swap(UNCHANGED, Ordering::AcqRel);
            }
        }
        fn is_changed(&self) -> bool {
            self.0.load(Ordering::Acquire) == CHANGED
        }
        fn sleep(&self) -> bool {
            if !SLEEPS {
                self.0.store(ASLEEP, Ordering::Release);
                return true;
            }
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire);
            self.0.compare_exchange(UNCHANGED, ASLEEP, ok, err) != Err(CHANGED)
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        what_a_cycle_does_not_see_is_noted::<Weak<true, true, true>>(true);
        the_driver_sleeps_until_something_changes::<Weak<true, true, true>>();
        somebody_else_collects_beside_the_sleeper::<Weak<true, true, true>>();
    }

    #[test]
    #[should_panic = "a change was lost"]
    fn a_cycle_that_looks_before_it_begins_is_found_out() {
        what_a_cycle_does_not_see_is_noted::<ChangeFlag>(false);
    }

    /// Without the mutex the note's load may be of a time before the cycle, and its look of one before the change.
    #[test]
    #[should_panic = "a change was lost"]
    fn a_note_before_the_mutex_is_found_out() {
        play(|| {
            let space = Space::<ChangeFlag>::new();
            let _ = space.flag.note();
            let other = {
                let space = Arc::clone(&space);
                spawn(move || {
                    space.gone.fetch_add(1, Relaxed);
                    let _ = space.flag.note();
                    drop(space.roots.lock());
                })
            };
            let seen = space.collect(true);
            other.join().unwrap();
            assert!(seen == 1 || space.flag.is_changed(), "a change was lost");
        });
    }

    #[test]
    fn a_sleeper_that_does_not_look_is_found_out() {
        let test = "weakened::a_sleeper_that_does_not_look_is_found_out";
        type Careless = Weak<false, true, true>;
        assert!(deadlocks(test, the_driver_sleeps_until_something_changes::<Careless>));
    }

    #[test]
    fn a_note_that_does_not_read_what_it_writes_over_is_found_out() {
        let test = "weakened::a_note_that_does_not_read_what_it_writes_over_is_found_out";
        type Careless = Weak<true, false, true>;
        assert!(deadlocks(test, the_driver_sleeps_until_something_changes::<Careless>));
    }

    /// A mutator collects while the driver sleeps, and lets go of something then.
    fn somebody_else_collects_beside_the_sleeper<F: Flag>() {
        play_bounded(3, || {
            let space = Space::<F>::new();
            let driver = {
                let space = Arc::clone(&space);
                spawn(move || loop {
                    let seen = space.signal.look();
                    if space.gone.load(Relaxed) == 1 && space.flag.is_changed() {
                        return;
                    }
                    if space.flag.sleep() {
                        space.signal.wait(seen, None);
                    }
                })
            };
            space.collect(true);
            space.let_go();
            driver.join().unwrap();
        });
    }

    #[test]
    fn a_cycle_that_forgets_the_sleeper_is_found_out() {
        let test = "weakened::a_cycle_that_forgets_the_sleeper_is_found_out";
        type Forgetful = Weak<true, true, false>;
        assert!(deadlocks(test, somebody_else_collects_beside_the_sleeper::<Forgetful>));
    }
}
