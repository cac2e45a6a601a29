//! Why a space's mutators are wanted at a safepoint, and who runs the collections that are due.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use crate::batch;
use crate::collector::{Collector, Runner};
use crate::protocol::Want;

pub(crate) struct Requests {
    pub(crate) want: Want,
    collector: Option<Arc<dyn Collector>>,
    /// Whoever runs the collections waited for the lock and gave up for the time being: the holder is to
    /// collect at its next safepoint itself. Set by it, and by stress; taken back when a cycle begins.
    overdue: AtomicBool,
    /// The most bytes that an allocation was denied at the heap's limit since the last choice of what to evict.
    /// Added to by the holder of the exclusive lock, taken by the collector.
    lacking: AtomicUsize,
}

impl Requests {
    pub(crate) fn new(collector: Option<Arc<dyn Collector>>, stress: bool) -> Requests {
        Requests {
            want: Want::new(stress),
            collector,
            overdue: AtomicBool::new(false),
            lacking: AtomicUsize::new(0),
        }
    }

    pub(crate) fn collector(&self) -> Option<&Arc<dyn Collector>> {
        self.collector.as_ref()
    }

    /// Who runs the collections that are due. If the collector panics, mutators do: then they are not left undone.
    pub(crate) fn runner(&self) -> Runner {
        let Some(collector) = &self.collector else { return Runner::Nobody };
        guarded(|| collector.runner()).unwrap_or(Runner::Safepoints)
    }

    /// Asks for a collection.
    pub(crate) fn request(&self) {
        self.want.request();
        self.wake();
    }

    /// A cycle that had begun to serve was given up. Wakes nobody: who runs the collections knows when to
    /// try again.
    pub(crate) fn ask_again(&self) {
        self.want.request();
    }

    /// Tells whoever runs the collections that there may be one to run.
    pub(crate) fn wake(&self) {
        if let Some(collector) = &self.collector {
            guarded(|| collector.wake());
        }
    }

    /// The budget was passed. Raises the flag if mutators have to do something about it.
    pub(crate) fn note_over_budget(&self, first: bool, far_over: bool) {
        let runner = self.runner();
        let driven = runner == Runner::Driver;
        if first && (driven || runner == Runner::BusyDriver) {
            self.wake();
        }
        if !driven || first || far_over {
            self.want.raise();
        }
    }

    pub(crate) fn set_overdue(&self) {
        self.overdue.store(true, Relaxed);
        self.want.raise();
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.load(Relaxed)
    }

    /// An allocation was denied, or what it lacks was taken in vain.
    pub(crate) fn note_lacking(&self, bytes: usize) {
        self.lacking.fetch_max(bytes, Relaxed);
    }

    /// An allocation or a charge was denied, or the soft limit passed: whoever runs the collections that are due is to run
    /// one that makes room. It is not asked for as by [`request`](Requests::request): where only explicit calls collect,
    /// nobody does.
    pub(crate) fn ask_for_room(&self, bytes: usize) {
        self.note_lacking(bytes);
        self.want.raise();
        self.wake();
    }

    /// Whether an allocation was denied since the last choice of what to evict: nothing that is dead may stay.
    pub(crate) fn is_lacking(&self) -> bool {
        self.lacking.load(Relaxed) > 0
    }

    /// What allocations lack.
    pub(crate) fn take_lacking(&self) -> usize {
        self.lacking.swap(0, Relaxed)
    }

    /// A cycle begins, which serves all requests made until now; whether there were any.
    pub(crate) fn serve(&self) -> bool {
        self.overdue.store(false, Relaxed);
        self.want.serve()
    }
}

/// Asks the collector, which is the user's; none if it panicked. Whoever asks may hold the space and be in the middle
/// of something: no panic gets there.
pub(crate) fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| drop(batch::panic_message(panic))).ok()
}
