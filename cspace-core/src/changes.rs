//! Changes: what a cycle by time would find, and waking whoever sleeps until there is something.
//!
//! A space shares the record with whatever may change it from outside of an access: segments of roots, owned
//! values, the books of its ledger. A merge gives the books the record of the space that they belong to from then on; roots
//! and owned values find it by the number of their home (`home.rs`).

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Weak;

use parking_lot::Mutex;

use crate::collector::Collector;
use crate::protocol::ChangeFlag;
use crate::requests::guarded;

/// Whether anything changed in a space since its last full cycle, and the collector that sleeps until then.
pub struct Changes {
    flag: ChangeFlag,
    /// The number of the space's home. Written with the space held exclusively.
    home: AtomicU64,
    /// Weak: handles that outlive the space share the record. Taken out at the space's end, as the collector's memory stays
    /// as long as somebody may look for it here.
    collector: Mutex<Option<Weak<dyn Collector>>>,
}

impl Default for Changes {
    fn default() -> Self {
        Changes::new(None)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.flag.fmt(f)
    }
}

impl Changes {
    pub(crate) fn new(collector: Option<Weak<dyn Collector>>) -> Changes {
        Changes {
            flag: ChangeFlag::new(),
            home: AtomicU64::new(0),
            collector: Mutex::new(collector),
        }
    }

    /// The space is gone: there is nobody to wake.
    pub(crate) fn end(&self) {
        *self.collector.lock() = None;
    }

    /// The space has this home from now on.
    pub(crate) fn set_home(&self, number: u64) {
        self.home.store(number, Relaxed);
    }

    /// Whether the space has the home with this number.
    pub(crate) fn is_of_home(&self, number: u64) -> bool {
        self.home.load(Relaxed) == number
    }

    /// Something changed that a cycle looks at: see [`ChangeFlag`] for what must be locked. True if
    /// [`wake`](Changes::wake) is to be called when nothing is.
    #[inline(always)]
    #[must_use]
    pub(crate) fn note(&self) -> bool {
        self.flag.note()
    }

    /// As [`note`](Changes::note), and wakes: for callers with no mutex that the collector might want.
    #[inline(always)]
    pub(crate) fn note_and_wake(&self) {
        if self.note() {
            self.wake();
        }
    }

    /// Wakes whoever sleeps until something changes.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake(&self) {
        let collector = self.collector.lock().as_ref().and_then(Weak::upgrade);
        if let Some(collector) = collector {
            guarded(|| collector.wake());
        }
    }

    pub(crate) fn flag(&self) -> &ChangeFlag {
        &self.flag
    }
}
