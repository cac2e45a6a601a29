//! Ctrl-C: stops the program that is running, or the process if none is.
//!
//! The handler raises a flag and asks the space for a yield; the run loop polls that anyway, and
//! whoever drives it looks at the flag.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use cspace::CSpace;

/// The exit code of a process that Ctrl-C stopped, as shells have it.
pub(crate) const EXIT_CODE: i32 = 130;

/// Whether a program runs. Written by the session's thread.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// Whether it should stop. Set by the handler's thread, cleared by the session's.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Handles Ctrl-C from here on. If that cannot be done, it goes on to end the process.
pub(crate) fn install(space: &CSpace) {
    let space = space.clone();
    let _ = ctrlc::set_handler(move || {
        if !RUNNING.load(Ordering::SeqCst) {
            process::exit(EXIT_CODE);
        }
        INTERRUPTED.store(true, Ordering::SeqCst);
        space.request_yield();
    });
}

/// A program that is running, as long as this exists.
pub(crate) struct Running(());

impl Running {
    pub(crate) fn begin() -> Self {
        INTERRUPTED.store(false, Ordering::SeqCst);
        RUNNING.store(true, Ordering::SeqCst);
        Running(())
    }

    /// Whether the user wants the program to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::SeqCst);
    }
}
