//! Data that tells when it is dropped.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

use cspace::{CSpace, GcMode, Static};

/// Counts drops.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

impl Drops {
    pub fn new() -> Drops {
        Drops::default()
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Data whose drop is counted, as a part of an object.
    pub fn probe(&self) -> Static<Probe> {
        Static(Probe(self.clone()))
    }
}

pub struct Probe(Drops);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0 .0.fetch_add(1, SeqCst);
    }
}

/// Runs a closure when it is dropped: what a user's `Drop` does.
pub struct OnDrop(Option<Box<dyn FnOnce() + Send + Sync>>);

/// `f`, to be run when the object is reclaimed.
pub fn on_drop(f: impl FnOnce() + Send + Sync + 'static) -> Static<OnDrop> {
    Static(OnDrop(Some(Box::new(f))))
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// A space that no worker ever has a handle on, so that it ends where the test drops its own last one.
pub fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).build().unwrap()
}
