//! How many handles of a space its collector has, and waiting for them.

use std::time::Duration;

use crate::sync::{Condvar, Mutex};

/// Counts the handles by which collectors keep a space, so that who has the only other one can wait for them.
///
/// A handle is made and counted in one step, and dropped before it is counted no more. So with the mutex held there
/// are at most as many as the count says: if there are more than that and one's own, somebody else has one.
///
/// - **P25 (told apart).** [`Closing::look`] calls a space shared only if somebody has a handle that is neither the
///   caller's nor a collector's.
/// - **P26 (ends).** While somebody is closing, no driver gets a handle that has none: those that exist become fewer,
///   and whoever waits is woken when the last one went.
#[derive(Debug)]
pub struct CollectorHandles {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    count: usize,
    /// Threads that wait for the count to become nothing.
    closing: usize,
}

/// What there is beside the caller's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nothing.
    None,
    /// Handles of collectors.
    Collectors,
    /// Somebody's, and perhaps collectors'.
    Somebody,
}

impl CollectorHandles {
    /// None yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> CollectorHandles {
        CollectorHandles {
            state: Mutex::new(State { count: 0, closing: 0 }),
            changed: Condvar::default(),
        }
    }

    /// Makes a handle, if `make` can. `waits`: while somebody is closing it is waited (P26); by drivers, which have
    /// none yet.
    pub fn begin<T>(&self, waits: bool, make: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.state.lock();
        while waits && state.closing > 0 {
            self.changed.wait(&mut state);
        }
        let made = make()?;
        state.count += 1;
        Some(made)
    }

    /// As [`begin`](CollectorHandles::begin), but none while somebody is closing: so nobody is waited for (P26).
    pub fn try_begin<T>(&self, make: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.state.lock();
        if state.closing > 0 {
            return None;
        }
        let made = make()?;
        state.count += 1;
        Some(made)
    }

    /// Whether all handles are collectors'; `handles` counts all there are.
    pub fn are_all(&self, handles: impl FnOnce() -> usize) -> bool {
        // As in `look` (P25).
        let state = self.state.lock();
        handles() <= state.count
    }

    /// A handle was dropped.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.count -= 1;
        let is_news = state.count == 0 && state.closing > 0;
        drop(state);
        if is_news {
            self.changed.notify_all();
        }
    }

    /// Begins to wait for those that there are, until the result is dropped.
    pub fn close(&self) -> Closing<'_> {
        self.state.lock().closing += 1;
        Closing(self)
    }
}

/// Somebody waits for the handles of collectors.
#[derive(Debug)]
pub struct Closing<'a>(&'a CollectorHandles);

impl Closing<'_> {
    /// What there is beside the caller's handle; `handles` counts all handles, that one included.
    pub fn look(&self, handles: impl FnOnce() -> usize) -> Others {
        // With the mutex held: nobody of the collectors makes one meanwhile (P25).
        let state = self.0.state.lock();
        match handles() {
            count if count > 1 + state.count => Others::Somebody,
            _ if state.count > 0 => Others::Collectors,
            _ => Others::None,
        }
    }

    /// Waits until there are none of collectors, but not much longer than `patience`.
    pub fn wait(&self, patience: Duration) {
        let mut state = self.0.state.lock();
        if state.count > 0 {
            self.0.changed.wait_for(&mut state, patience);
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closing -= 1;
        drop(state);
        self.0.changed.notify_all();
    }
}
