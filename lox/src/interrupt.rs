//! Ctrl-C: stops the programs that are running, or the process if none is.
//!
//! The handler raises a flag and asks the spaces for a yield; the run loop polls that anyway, and
//! whoever drives it looks at the flag.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cspace::CSpace;

/// The exit code of a process that Ctrl-C stopped, as shells have it.
pub(crate) const EXIT_CODE: i32 = 130;

/// How many programs run. Written by the sessions' threads.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// Whether they should stop. Set by the handler's thread, cleared by the first session's.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Handles Ctrl-C from here on. If that cannot be done, it goes on to end the process.
pub(crate) fn install(spaces: &[CSpace]) {
    let spaces = spaces.to_vec();
    let _ = ctrlc::set_handler(move || {
        if RUNNING.load(Ordering::SeqCst) == 0 {
            process::exit(EXIT_CODE);
        }
        INTERRUPTED.store(true, Ordering::SeqCst);
        for space in &spaces {
            space.request_yield();
        }
    });
}

/// A program that is running, as long as this exists.
pub(crate) struct Running(());

impl Running {
    pub(crate) fn begin() -> Self {
        if RUNNING.fetch_add(1, Ordering::SeqCst) == 0 {
            INTERRUPTED.store(false, Ordering::SeqCst);
        }
        Running(())
    }

    /// Whether the user wants the program to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}
