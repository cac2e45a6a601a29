//! Every interleaving of cspace's small protocols.
//!
//! Each file under `tests/` is about one structure of [`cspace_core::protocol`], [`cspace_gc::protocol`] or
//! [`cspace_native::protocol`]: it plays the scene in
//! which the space uses the structure, with two or three threads, and says what must hold. Built with
//! `--cfg cspace_loom` (`.ci/loom` does), loom runs every interleaving, and every value that a relaxed
//! load may return; without, the scenes run a few thousand times on ordinary threads.
//!
//! A model that cannot fail shows nothing. So each scene is also played with weakened copies of the
//! structure (an ordering relaxed, a fence left out, two steps swapped), and loom must find the
//! interleaving in which that goes wrong.

#[cfg(cspace_loom)]
pub use loom::{
    sync::{Arc, Mutex},
    thread::spawn,
};
#[cfg(not(cspace_loom))]
pub use std::{
    sync::{Arc, Mutex},
    thread::spawn,
};

/// Plays a scene: in every interleaving under loom, else many times.
pub fn play(scene: impl Fn() + Send + Sync + 'static) {
    #[cfg(cspace_loom)]
    loom::model(scene);
    #[cfg(not(cspace_loom))]
    for _ in 0..2000 {
        scene();
    }
}

/// Plays a scene in every interleaving with at most so many preemptions: for scenes that have too many.
pub fn play_bounded(preemptions: usize, scene: impl Fn() + Send + Sync + 'static) {
    #[cfg(cspace_loom)]
    {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(scene);
    }
    #[cfg(not(cspace_loom))]
    {
        let _ = preemptions;
        play(scene);
    }
}

/// Whether loom finds a deadlock in the test of this name. It is run in a process of its own, as what loom unwinds
/// through then panics again.
#[cfg(cspace_loom)]
pub fn deadlocks(test: &str, scene: impl FnOnce()) -> bool {
    const CHILD: &str = "CSPACE_LOOM_CHILD";
    if std::env::var_os(CHILD).is_some() {
        scene();
        // Not reached if there is a deadlock.
        std::process::exit(0);
    }
    let this = std::env::current_exe().expect("the test's own path");
    let child = std::process::Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the test runs itself");
    let said = String::from_utf8_lossy(&child.stderr);
    !child.status.success() && said.contains("deadlock; threads")
}

/// Memory that is not atomic: loom finds accesses that no order keeps apart.
pub struct Plain {
    #[cfg(cspace_loom)]
    value: loom::cell::UnsafeCell<u32>,
    /// A race would be undefined here; what counts without loom is the value.
    #[cfg(not(cspace_loom))]
    value: std::sync::atomic::AtomicU32,
}

// SAFETY: loom panics at an access that another thread's may race with.
#[cfg(cspace_loom)]
unsafe impl Sync for Plain {}

impl Plain {
    /// Memory with a first value.
    pub fn new(value: u32) -> Plain {
        #[cfg(cspace_loom)]
        let value = loom::cell::UnsafeCell::new(value);
        Plain {
            #[allow(clippy::useless_conversion)]
            value: value.into(),
        }
    }

    /// Reads it.
    pub fn read(&self) -> u32 {
        #[cfg(cspace_loom)]
        // SAFETY: loom panics if another thread may write meanwhile.
        return self.value.with(|value| unsafe { *value });
        #[cfg(not(cspace_loom))]
        self.value.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Writes it.
    pub fn write(&self, new: u32) {
        #[cfg(cspace_loom)]
        // SAFETY: loom panics if another thread may read or write meanwhile.
        self.value.with_mut(|value| unsafe { *value = new });
        #[cfg(not(cspace_loom))]
        self.value.store(new, std::sync::atomic::Ordering::Relaxed);
    }
}
