//! A test that hangs fails.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// More than anything here takes on a busy machine, or in an interpreter.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 1200 } else { 60 });

/// Runs `f` on a thread of its own and returns its result; panics if it takes for ever.
#[track_caller]
pub fn within<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = channel();
    let running = thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        let _ = sender.send(());
        result
    });
    match receiver.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("still not done after {PATIENCE:?}: it hangs"),
        _ => match running.join().expect("the panic was caught") {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        },
    }
}

/// Waits until something is so that another thread may be doing: work left by a thread that held a space is done by
/// the next that holds none, whichever that is.
#[track_caller]
pub fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not so after {PATIENCE:?}");
        thread::yield_now();
    }
}

/// The message of the panic that `f` is expected to end with.
#[track_caller]
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("a panic was expected"),
        Err(panic) => match panic.downcast::<String>() {
            Ok(message) => *message,
            Err(panic) => panic.downcast::<&str>().map_or(String::new(), |text| text.to_string()),
        },
    }
}
