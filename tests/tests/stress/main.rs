//! A tour of what can go wrong from safe code, with many threads at once.
//!
//! Each round builds its spaces and threads from a seed that is printed; what the threads do follows
//! from it, when they do it does not, so that a seed makes a failure likely again and not sure.
//!
//! - `CSPACE_STRESS_SEED`: the first seed. Default: the time.
//! - `CSPACE_STRESS_SECONDS`: how long each of the long tests takes. Default: 5, and 10 for `collector` and `restless`.

mod collector;
mod evict;
mod exchange;
mod leaks;
mod many_spaces;
mod native;
mod one_space;
mod restless;
#[path = "../model/rng.rs"]
mod rng;
mod things;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The seed of a test's first round.
fn seed(test: &str) -> u64 {
    let seed = rng::from_env("CSPACE_STRESS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        now.as_micros() as u64 % 1_000_000
    });
    // Past the test harness, which shows what it captured only if the process lives.
    let _ = writeln!(std::io::stderr(), "stress: {test} from CSPACE_STRESS_SEED={seed}");
    seed
}

/// How long a long test takes, in seconds, unless the environment says otherwise.
fn seconds(default: u64) -> u64 {
    rng::from_env("CSPACE_STRESS_SECONDS").unwrap_or(default)
}

/// How long most of the long tests take.
fn duration() -> Duration {
    Duration::from_secs(seconds(5))
}

/// Runs a test that must not hang: aborts when it takes far too long.
fn watched(test: impl FnOnce()) {
    watched_for(Duration::from_secs(seconds(10)) * 10 + Duration::from_secs(120), "a test", test);
}

/// Runs what must not take longer than that: aborts when it does.
fn watched_for(limit: Duration, what: &str, test: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let watch = threads.spawn(|| {
            let begun = std::time::Instant::now();
            while !done.load(Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                if begun.elapsed() > limit {
                    let _ = writeln!(std::io::stderr(), "stress: {what} hangs");
                    std::process::abort();
                }
            }
        });
        struct Done<'a>(&'a AtomicBool, std::thread::Thread);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
                self.1.unpark();
            }
        }
        let _done = Done(&done, watch.thread().clone());
        test();
    });
}
