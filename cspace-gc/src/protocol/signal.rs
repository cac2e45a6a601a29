//! How a thread that runs collections is woken, and told to stop.

use std::time::Instant;

use cspace_core::sync::{Condvar, Mutex};

/// A bell that is heard also by who was about to lie down.
///
/// Whoever waits first [looks](Signal::look), then finds out whether there is something to do, then waits for a
/// change *since it looked*.
///
/// - **Q1 (heard).** A wake, or a stop, that comes after a look ends the wait that follows it.
/// - **Q2 (final).** A signal that was stopped stays so.
#[derive(Debug)]
pub struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
struct State {
    wakes: u64,
    stopped: bool,
}

/// What a look saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    wakes: u64,
    stopped: bool,
}

impl Seen {
    /// Whether it was told to stop.
    pub fn is_stopped(self) -> bool {
        self.stopped
    }
}

impl Signal {
    /// A signal that was never given.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Signal {
        Signal {
            state: Mutex::new(State { wakes: 0, stopped: false }),
            changed: Condvar::default(),
        }
    }

    /// Something may be to do.
    pub fn wake(&self) {
        self.state.lock().wakes += 1;
        self.changed.notify_all();
    }

    /// Stop.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// What [`wait`](Signal::wait) compares with.
    pub fn look(&self) -> Seen {
        let state = *self.state.lock();
        Seen { wakes: state.wakes, stopped: state.stopped }
    }

    /// Waits for a wake or a stop since the look, at most until the deadline (none: for ever).
    pub fn wait(&self, seen: Seen, deadline: Option<Instant>) {
        let mut state = self.state.lock();
        while state.wakes == seen.wakes && !state.stopped {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return;
                    }
                }
            }
        }
    }
}
