//! When a stand-in looks whether it has something to do, and whether it has a thread.

use std::time::{Duration, Instant};

use cspace_core::sync::{Condvar, Mutex};

/// An alarm that is set for the earliest of the times that it was set for, and rings once for all of them.
///
/// - **Q7 (rings).** After a time for which it was set, [`wait`](Alarm::wait) returns: also if it was set by somebody while
///   its thread looked, or was about to lie down. For a later time than it is set for already nobody is woken.
/// - **Q8 (one thread).** Of those who set it one is told to start its thread, until that failed. When it was stopped the
///   thread ends, and nobody is told to start one.
#[derive(Debug)]
pub struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// When it rings.
    at: Option<Instant>,
    /// It was set since it rang, for so much later.
    ahead: Option<Duration>,
    has_thread: bool,
    is_stopped: bool,
}

/// It rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rang {
    /// If it was set since it rang last: for how much later, the last time.
    pub ahead: Option<Duration>,
}

impl Alarm {
    /// An alarm that is not set and has no thread.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Alarm {
        Alarm {
            state: Mutex::new(State {
                at: None,
                ahead: None,
                has_thread: false,
                is_stopped: false,
            }),
            changed: Condvar::default(),
        }
    }

    /// It is to ring at that time. True if the caller must start its thread, and say so if that
    /// [failed](Alarm::has_no_thread).
    pub fn set(&self, at: Instant) -> bool {
        let mut state = self.state.lock();
        if state.is_stopped {
            return false;
        }
        state.ahead = Some(at.saturating_duration_since(Instant::now()));
        if state.at.is_some_and(|set| set <= at) {
            return false;
        }
        state.at = Some(at);
        let had_thread = core::mem::replace(&mut state.has_thread, true);
        drop(state);
        if had_thread {
            self.changed.notify_one();
        }
        !had_thread
    }

    /// The thread could not be started. Whoever sets it next tries again.
    pub fn has_no_thread(&self) {
        let mut state = self.state.lock();
        (state.has_thread, state.at) = (false, None);
    }

    /// The thread ends.
    pub fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// Whether the thread is to end.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().is_stopped
    }

    /// By the thread: waits until it rings. None when it is to end.
    pub fn wait(&self) -> Option<Rang> {
        let mut state = self.state.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            match state.at {
                None => self.changed.wait(&mut state),
                Some(at) if at <= Instant::now() => break,
                Some(at) => _ = self.changed.wait_until(&mut state, at),
            }
        }
        state.at = None;
        Some(Rang { ahead: state.ahead.take() })
    }

    /// By the thread: it is to ring then, too.
    pub fn ring_again(&self, at: Option<Instant>) {
        let mut state = self.state.lock();
        state.at = match (state.at, at) {
            (Some(set), Some(at)) => Some(set.min(at)),
            (set, at) => set.or(at),
        };
    }

    /// When it rings.
    pub fn at(&self) -> Option<Instant> {
        self.state.lock().at
    }
}
