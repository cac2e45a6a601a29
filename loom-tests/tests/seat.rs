//! Start, stop and drop ([`Seat`]): drivers that come and go, at most one at a time.
//!
//! The scenes are those of `control.rs`: a start takes the seat, makes ready and enters; a stop asks the tenant to
//! leave, waits until it does not work, and ends the tenure; a tenant works, and may leave by itself.

use cspace_gc::protocol::{Seat, Tenure};
use cspace_loom_tests::{play_bounded, spawn, Arc, Plain};

trait Chair: Send + Sync + 'static {
    fn new() -> Self;
    fn take(&self) -> Option<Tenure>;
    fn enter(&self, tenure: Tenure);
    fn ask_to_leave(&self) -> Option<Tenure>;
    fn wait_idle(&self);
    fn begin_work(&self, tenure: Tenure) -> bool;
    fn end_work(&self, tenure: Tenure);
    fn begin_stand_in(&self, tenure: Tenure) -> bool;
    fn end_stand_in(&self);
    fn begin_to_leave(&self, tenure: Tenure) -> bool;
    fn leave(&self, tenure: Tenure);
}

impl Chair for Seat {
    fn new() -> Self {
        Seat::new()
    }
    fn take(&self) -> Option<Tenure> {
        self.take()
    }
    fn enter(&self, tenure: Tenure) {
        self.enter(tenure);
    }
    fn ask_to_leave(&self) -> Option<Tenure> {
        self.ask_to_leave()
    }
    fn wait_idle(&self) {
        self.wait_idle();
    }
    fn begin_work(&self, tenure: Tenure) -> bool {
        self.begin_work(tenure)
    }
    fn end_work(&self, tenure: Tenure) {
        self.end_work(tenure);
    }
    fn begin_stand_in(&self, tenure: Tenure) -> bool {
        self.begin_stand_in(tenure)
    }
    fn end_stand_in(&self) {
        self.end_stand_in();
    }
    fn begin_to_leave(&self, tenure: Tenure) -> bool {
        self.begin_to_leave(tenure)
    }
    fn leave(&self, tenure: Tenure) {
        self.leave(tenure);
    }
}

struct Scene<C> {
    chair: C,
    /// What a driver is made of: of who has the seat.
    driver: Plain,
}

impl<C: Chair> Scene<C> {
    fn new() -> Arc<Self> {
        Arc::new(Scene { chair: C::new(), driver: Plain::new(0) })
    }

    /// A start; false if somebody is in the seat.
    fn start(&self) -> bool {
        let Some(tenure) = self.chair.take() else { return false };
        assert_eq!(self.driver.read(), 0, "two drivers");
        self.driver.write(1);
        self.chair.enter(tenure);
        true
    }

    /// A stop; false if nobody was in the seat.
    fn stop(&self, waits: bool) -> bool {
        let Some(tenure) = self.chair.ask_to_leave() else { return false };
        if waits {
            self.chair.wait_idle();
        }
        assert_eq!(self.driver.read(), 1, "nobody was ready");
        self.driver.write(0);
        self.chair.leave(tenure);
        true
    }
}

/// Q3: a start against a start and a stop.
fn there_is_one_driver_at_a_time<C: Chair>() {
    play_bounded(3, || {
        let scene = Scene::<C>::new();
        let other = {
            let scene = Arc::clone(&scene);
            spawn(move || {
                scene.start();
                scene.stop(true)
            })
        };
        scene.start();
        let stopped = other.join().unwrap();
        // The other thread's stop came after its start: whoever's driver that was, it is gone, but this
        // thread's may have come afterwards.
        assert!(stopped, "a start that is not followed by a driver");
        let left = scene.driver.read();
        assert_eq!(scene.stop(true), left == 1);
        assert!(!scene.stop(true), "stopped twice");
    });
}

/// Q4: a stop against a driver that works.
fn a_stop_waits_for_the_work<C: Chair>(waits: bool) {
    play_bounded(3, move || {
        let scene = Scene::<C>::new();
        let tenure = scene.chair.take().unwrap();
        scene.driver.write(1);
        scene.chair.enter(tenure);
        let works = {
            let scene = Arc::clone(&scene);
            spawn(move || {
                if scene.chair.begin_work(tenure) {
                    assert_eq!(scene.driver.read(), 1, "it works without a seat");
                    scene.chair.end_work(tenure);
                }
            })
        };
        assert!(scene.stop(waits));
        assert!(!scene.chair.begin_work(tenure), "it works after the stop");
        works.join().unwrap();
    });
}

/// Q4: a stop against the stand-in of a driver that left by itself meanwhile, and of one that did not.
fn a_stop_waits_for_stand_ins<C: Chair>(leaves: bool, waits: bool) {
    play_bounded(3, move || {
        let scene = Scene::<C>::new();
        let tenure = scene.chair.take().unwrap();
        scene.driver.write(1);
        scene.chair.enter(tenure);
        let stands_in = {
            let scene = Arc::clone(&scene);
            spawn(move || {
                if scene.chair.begin_stand_in(tenure) {
                    assert_eq!(scene.driver.read(), 1, "it works without a driver");
                    scene.chair.end_stand_in();
                }
            })
        };
        if leaves {
            // As it is by itself, what it leaves behind is not written: its stand-in may be at work.
            assert!(scene.chair.begin_to_leave(tenure));
            scene.chair.leave(tenure);
            let next = scene.chair.take().unwrap();
            scene.chair.enter(next);
        }
        assert!(scene.stop(waits));
        assert!(!scene.chair.begin_stand_in(tenure), "it works after the stop");
        stands_in.join().unwrap();
    });
}

/// A driver that leaves by itself, against a stop and a start: what is attached is the tenant's.
fn a_driver_that_leaves_takes_its_own_away<C: Chair>(detach_first: bool) {
    play_bounded(3, move || {
        let scene = Scene::<C>::new();
        let tenure = scene.chair.take().unwrap();
        scene.driver.write(1);
        scene.chair.enter(tenure);
        let leaves = {
            let scene = Arc::clone(&scene);
            spawn(move || {
                if !scene.chair.begin_to_leave(tenure) {
                    return;
                }
                if detach_first {
                    scene.driver.write(0);
                    scene.chair.leave(tenure);
                } else {
                    scene.chair.leave(tenure);
                    scene.driver.write(0);
                }
            })
        };
        scene.stop(true);
        assert!(scene.start(), "the seat is not vacant after a stop");
        leaves.join().unwrap();
        assert_eq!(scene.driver.read(), 1, "the next driver was taken away");
        assert!(scene.stop(true), "the next driver cannot be stopped");
    });
}

#[test]
fn q3_there_is_one_driver_at_a_time() {
    there_is_one_driver_at_a_time::<Seat>();
}

#[test]
fn q4_a_driver_that_was_stopped_does_not_work() {
    a_stop_waits_for_the_work::<Seat>(true);
}

#[test]
fn q4_of_a_driver_that_was_stopped_no_stand_in_works() {
    a_stop_waits_for_stand_ins::<Seat>(false, true);
    a_stop_waits_for_stand_ins::<Seat>(true, true);
}

#[test]
fn q3_a_driver_that_leaves_takes_its_own_away_and_nothing_else() {
    a_driver_that_leaves_takes_its_own_away::<Seat>(true);
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{Mutex, MutexGuard};

    /// A seat on top of the real one whose stop does not wait for who is coming.
    struct Hasty {
        seat: Seat,
        /// The tenure of who has taken the seat, ready or not.
        taken: Mutex<Option<Tenure>>,
    }

    impl Hasty {
        fn taken(&self) -> MutexGuard<'_, Option<Tenure>> {
            self.taken.lock()
        }
    }

    impl Chair for Hasty {
        fn new() -> Self {
            Hasty { seat: Seat::new(), taken: Mutex::new(None) }
        }
        fn take(&self) -> Option<Tenure> {
            let mut taken = self.taken();
            if taken.is_some() {
                return None;
            }
            // A fresh tenure from the real seat, which is vacant for a moment.
            let tenure = self.seat.take()?;
            self.seat.leave(tenure);
            *taken = Some(tenure);
            Some(tenure)
        }
        fn enter(&self, _: Tenure) {}
        fn ask_to_leave(&self) -> Option<Tenure> {
            *self.taken()
        }
        fn wait_idle(&self) {}
        fn begin_work(&self, _: Tenure) -> bool {
            true
        }
        fn end_work(&self, _: Tenure) {}
        fn begin_stand_in(&self, _: Tenure) -> bool {
            true
        }
        fn end_stand_in(&self) {}
        fn begin_to_leave(&self, _: Tenure) -> bool {
            true
        }
        fn leave(&self, _: Tenure) {
            self.taken().take();
        }
    }

    #[test]
    #[should_panic]
    fn a_stop_that_does_not_wait_for_who_is_coming_is_found_out() {
        there_is_one_driver_at_a_time::<Hasty>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_stop_that_does_not_wait_for_the_work_is_found_out() {
        a_stop_waits_for_the_work::<Seat>(false);
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_stop_that_does_not_wait_for_stand_ins_is_found_out() {
        a_stop_waits_for_stand_ins::<Seat>(true, false);
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_driver_that_leaves_before_it_detaches_is_found_out() {
        a_driver_that_leaves_takes_its_own_away::<Seat>(false);
    }
}
