//! Waking a thread that runs collections ([`Signal`]): it looks, finds nothing to do, and lies down.

use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_gc::protocol::{Seen, Signal};
use cspace_loom_tests::{play, spawn, Arc};

trait Bell: Send + Sync + 'static {
    type Look: Copy;
    fn new() -> Self;
    fn look(&self) -> (Self::Look, bool);
    fn wait(&self, seen: Self::Look);
    fn wake(&self);
    fn stop(&self);
}

impl Bell for Signal {
    type Look = Seen;
    fn new() -> Self {
        Signal::new()
    }
    fn look(&self) -> (Seen, bool) {
        let seen = self.look();
        (seen, seen.is_stopped())
    }
    fn wait(&self, seen: Seen) {
        self.wait(seen, None);
    }
    fn wake(&self) {
        self.wake();
    }
    fn stop(&self) {
        self.stop();
    }
}

/// Q1 and Q2: work comes, then the order to stop. The driver does the work and ends; a wake that is not heard
/// is a deadlock.
fn the_driver_does_what_there_is_and_ends<B: Bell>() {
    play(|| {
        let shared = Arc::new((B::new(), AtomicUsize::new(0)));
        let driver = {
            let shared = Arc::clone(&shared);
            spawn(move || {
                let mut done = 0;
                loop {
                    let (seen, stopped) = shared.0.look();
                    let work = shared.1.load(Relaxed) - done;
                    done += work;
                    if work == 0 {
                        if stopped {
                            return done;
                        }
                        shared.0.wait(seen);
                    }
                }
            })
        };
        shared.1.store(1, Relaxed);
        shared.0.wake();
        shared.0.stop();
        assert_eq!(driver.join().unwrap(), 1, "work was left");
    });
}

#[test]
fn q1_s2_a_wake_between_the_look_and_the_wait_is_heard_and_a_stop_is_final() {
    the_driver_does_what_there_is_and_ends::<Signal>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::{Condvar, Mutex};
    use cspace_loom_tests::deadlocks;

    /// [`Signal`] whose wait does not compare with the look, or whose stop forgets to notify.
    struct Weak<const COMPARES: bool, const NOTIFIES: bool> {
        state: Mutex<(u64, bool)>,
        changed: Condvar,
    }

    impl<const COMPARES: bool, const NOTIFIES: bool> Bell for Weak<COMPARES, NOTIFIES> {
        type Look = u64;
        fn new() -> Self {
            Weak { state: Mutex::new((0, false)), changed: Condvar::default() }
        }
        fn look(&self) -> (u64, bool) {
            *self.state.lock()
        }
        fn wait(&self, seen: u64) {
            let mut state = self.state.lock();
            if COMPARES {
                while state.0 == seen && !state.1 {
                    self.changed.wait(&mut state);
                }
            } else {
                self.changed.wait(&mut state);
            }
        }
        fn wake(&self) {
            self.state.lock().0 += 1;
            self.changed.notify_all();
        }
        fn stop(&self) {
            self.state.lock().1 = true;
            if NOTIFIES {
                self.changed.notify_all();
            }
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        the_driver_does_what_there_is_and_ends::<Weak<true, true>>();
    }

    #[test]
    fn a_wait_that_does_not_compare_is_found_out() {
        let test = "weakened::a_wait_that_does_not_compare_is_found_out";
        assert!(deadlocks(test, the_driver_does_what_there_is_and_ends::<Weak<false, true>>));
    }

    #[test]
    fn a_stop_that_does_not_notify_is_found_out() {
        let test = "weakened::a_stop_that_does_not_notify_is_found_out";
        assert!(deadlocks(test, the_driver_does_what_there_is_and_ends::<Weak<true, false>>));
    }
}
