//! In place of Ctrl-C: a clock that asks for a yield again and again, and a budget of yields.

use std::cell::Cell;
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cspace::CSpace;

/// How long a program may run.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two requests for a yield.
const TICK: Duration = Duration::from_millis(20);

/// A program that is running.
pub(crate) struct Running {
    begun: Instant,
    yields: Cell<u32>,
}

impl Running {
    pub(crate) fn begin() -> Self {
        Running { begun: Instant::now(), yields: Cell::new(0) }
    }

    /// Whether it has run for long enough.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.yields.set(self.yields.get() + 1);
        self.yields.get() > 3000 || self.begun.elapsed() > PATIENCE
    }
}

/// A thread that asks a space for yields, as long as this exists.
pub(crate) struct Ticking {
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn tick(space: &CSpace) -> Ticking {
    let (sender, ended) = channel();
    let space = space.downgrade();
    let thread = thread::spawn(move || {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if let Some(space) = space.upgrade() {
                space.request_yield();
            }
        }
    });
    Ticking { ended: Some(sender), thread: Some(thread) }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        drop(self.ended.take());
        // Waited for, or it would look like a leak.
        let thread = self.thread.take().expect("taken here alone");
        thread.join().expect("it does nothing that panics");
    }
}
