//! Close actions: in reverse order, all of them, whatever panics.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use cspace_core::collector::panic_message;

use crate::cleanup::CleanupPanics;

/// Runs actions, the last one first.
pub(super) fn run<F: FnOnce()>(actions: Vec<F>) -> Result<(), CleanupPanics> {
    let mut messages = Vec::new();
    for action in actions.into_iter().rev() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(action)) {
            messages.push(panic_message(panic));
        }
    }
    if messages.is_empty() {
        Ok(())
    } else {
        Err(CleanupPanics { messages })
    }
}

/// Runs them where no error can be returned: goes on with the first panic, unless one is under way.
pub(super) fn run_in_drop<F: FnOnce()>(actions: Vec<F>) {
    if let Err(panics) = run(actions) {
        if !std::thread::panicking() {
            resume_unwind(Box::new(panics.to_string()));
        }
    }
}
