//! Calling the stand-in of a driver that is stuck ([`Alarm`]), by the driver when it begins to run user code, or by whoever
//! asks for a collection then.
//!
//! The scene is that of `control.rs`: the driver notes that it runs user code, takes the control's mutex, and looks whether
//! something is due; who asks does so, takes the mutex, and looks whether the driver runs user code.

use std::time::Instant;

use cspace_core::sync::{AtomicUsize, Mutex, Ordering::Relaxed};
use cspace_gc::protocol::Alarm;
use cspace_loom_tests::{play, spawn, Arc};

struct Scene {
    alarm: Alarm,
    /// Whether the driver runs user code.
    busy: AtomicUsize,
    requested: AtomicUsize,
    attached: Mutex<()>,
    /// Threads that were started.
    threads: AtomicUsize,
}

impl Scene {
    fn new() -> Arc<Scene> {
        Arc::new(Scene {
            alarm: Alarm::new(),
            busy: AtomicUsize::new(0),
            requested: AtomicUsize::new(0),
            attached: Mutex::new(()),
            threads: AtomicUsize::new(0),
        })
    }

    fn call(&self, at: Instant) {
        if self.alarm.set(at) {
            self.threads.fetch_add(1, Relaxed);
        }
    }

    fn driver_begins(&self, takes_mutex: bool, at: Instant) {
        self.busy.store(1, Relaxed);
        if takes_mutex {
            drop(self.attached.lock());
        }
        if self.requested.load(Relaxed) == 1 {
            self.call(at);
        }
    }

    fn ask(&self, at: Instant) {
        self.requested.store(1, Relaxed);
        drop(self.attached.lock());
        if self.busy.load(Relaxed) == 1 {
            self.call(at);
        }
    }
}

/// SI1, Q8: a request beside the beginning of user code.
fn one_of_both_calls(takes_mutex: bool) {
    let now = Instant::now();
    play(move || {
        let scene = Scene::new();
        let driver = {
            let scene = Arc::clone(&scene);
            spawn(move || scene.driver_begins(takes_mutex, now))
        };
        scene.ask(now);
        driver.join().unwrap();
        assert!(scene.alarm.at().is_some(), "the stand-in was not called");
        assert_eq!(scene.threads.load(Relaxed), 1, "it has not one thread");
        assert!(scene.alarm.wait().is_some());
    });
}

/// Q7, Q8: what is asked for while the stand-in looks, or lies down, is seen; then it is stopped. A call that is not heard
/// is a deadlock.
fn a_call_is_heard(looks_after_it_rang: bool) {
    let now = Instant::now();
    play(move || {
        let scene = Scene::new();
        // For something else.
        scene.call(now);
        let stand_in = {
            let scene = Arc::clone(&scene);
            spawn(move || {
                let mut served = 0;
                while served == 0 {
                    let early = scene.requested.load(Relaxed);
                    if scene.alarm.wait().is_none() {
                        break;
                    }
                    served =
                        if looks_after_it_rang { scene.requested.load(Relaxed) } else { early };
                    scene.alarm.ring_again(None);
                }
                served
            })
        };
        scene.requested.store(1, Relaxed);
        scene.call(now);
        assert_eq!(stand_in.join().unwrap(), 1);
        scene.alarm.stop();
        assert!(scene.alarm.wait().is_none());
        scene.call(now);
        assert_eq!(scene.threads.load(Relaxed), 1);
    });
}

#[test]
fn si1_either_the_driver_or_who_asks_calls_the_stand_in() {
    one_of_both_calls(true);
}

#[test]
fn q7_what_is_asked_for_while_a_stand_in_looks_is_seen() {
    a_call_is_heard(true);
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_loom_tests::deadlocks;

    #[test]
    #[should_panic = "the stand-in was not called"]
    fn a_driver_that_does_not_take_the_mutex_is_found_out() {
        one_of_both_calls(false);
    }

    #[test]
    fn a_stand_in_that_looks_before_it_is_rung_for_is_found_out() {
        let test = "weakened::a_stand_in_that_looks_before_it_is_rung_for_is_found_out";
        assert!(deadlocks(test, || a_call_is_heard(false)));
    }
}
