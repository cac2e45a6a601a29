//! Values that count their drops.

use std::sync::atomic::{AtomicU32, AtomicU8, Ordering::Relaxed};
use std::sync::Arc;

/// How often each of a program's trackers was dropped.
pub struct DropLog {
    counts: Box<[AtomicU8]>,
    next: AtomicU32,
}

impl DropLog {
    pub fn new(capacity: usize) -> Arc<DropLog> {
        Arc::new(DropLog {
            counts: (0..capacity).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicU32::new(0),
        })
    }

    /// A value whose drop is counted.
    pub fn tracker(self: &Arc<Self>) -> Tracker {
        let number = self.next.fetch_add(1, Relaxed);
        assert!((number as usize) < self.counts.len(), "a drop log has a fixed size");
        Tracker { canary: CANARY ^ u64::from(number), number, log: Arc::clone(self) }
    }

    pub fn drops_of(&self, tracker: u32) -> u8 {
        self.counts[tracker as usize].load(Relaxed)
    }

    /// How many trackers were made.
    pub fn made(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// The first tracker that was not dropped exactly once, and how often it was.
    pub fn not_once(&self) -> Option<(u32, u8)> {
        (0..self.made()).map(|i| (i, self.drops_of(i))).find(|(_, count)| *count != 1)
    }
}

const CANARY: u64 = 0x7AC4_E12B_0DD5_EED5;

pub struct Tracker {
    canary: u64,
    number: u32,
    log: Arc<DropLog>,
}

impl Tracker {
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether the memory holds a tracker at all.
    pub fn is_whole(&self) -> bool {
        self.canary == CANARY ^ u64::from(self.number)
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if !self.is_whole() {
            // Whatever the log's pointer is now, it is not to be followed.
            eprintln!("a tracker was dropped whose memory was overwritten");
            std::process::abort();
        }
        self.canary = 0;
        self.log.counts[self.number as usize].fetch_add(1, Relaxed);
    }
}
