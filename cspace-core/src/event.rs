//! What a space tells about itself while it runs.

use std::time::Duration;

use crate::amount;
pub use crate::batch::SlowUserCode;
use crate::histogram::PauseHistogram;

/// Something that happened in a space, for [`Builder::on_event`](crate::Builder::on_event).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A collection is complete.
    Collected(CollectReport),
    /// A collection was given up because a `visit_objects` panicked, or because there was
    /// [no memory](crate::CollectError::NoMemory) for it. Nothing was condemned.
    CollectionAbandoned {
        /// The panic's message, or what there was no memory for.
        message: String,
    },
    /// Readers kept a collection from its end for so long that new ones were made to wait, for a while at a time.
    /// Told when the collection has ended.
    Insisting {
        /// How long the collection has waited.
        waited: Duration,
    },
    /// An `on_evict` callback, or the policy that chooses what to evict, panicked; the rest went on.
    EvictionPanicked {
        /// The panic's message.
        message: String,
    },
    /// A drop that the sweep ran panicked, or an `on_collect` hook; the sweep went on.
    DropPanicked {
        /// The panic's message.
        message: String,
    },
    /// The action of a [`Cleaner`](crate::Cleaner) panicked; the others ran.
    CleanerPanicked {
        /// The panic's message.
        message: String,
    },
    /// Code of yours that a collection ran for dead objects took more than 100 milliseconds. Told when it has ended. Until
    /// then other dead objects waited for their drops; nothing else did.
    SlowUserCode(SlowUserCode),
}

/// Code of yours that a collection runs for what is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserCode {
    /// The action of a [`Cleaner`](crate::Cleaner).
    Cleaner,
    /// The `on_collect` hooks and drops of dead objects that lie together: up to some thousand of one type.
    Drop,
    /// The drop of a value of an [`OwnedRoot`](crate::OwnedRoot).
    OwnedValue,
    /// The drop of a value of a [`PtrSlot`](crate::PtrSlot).
    SlotValue,
}

pub(crate) type Listener = Box<dyn Fn(&Event) + Send + Sync>;

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectReport {
    /// The number of this collection in its space, from 1.
    pub cycle: u64,
    /// How many collections of the space had begun with this one; above `cycle` if some were given up.
    pub begun: u64,
    /// Whether it was a minor one, for which everything was alive that the one before had found alive.
    pub is_minor: bool,
    /// Parts of its mark that were done before it, between which writers went on.
    pub increments: usize,
    /// Whether there was not the memory for its mark stack that it asked for. It went on with what there was, which
    /// takes longer.
    pub is_short_of_memory: bool,
    /// Objects that were alive.
    pub objects_live: usize,
    /// Objects that were reclaimed. Of types without drop glue, counted by cells.
    pub objects_reclaimed: usize,
    /// Evictable references that were let go of.
    pub objects_evicted: usize,
    /// Bytes that these stood for.
    pub bytes_evicted: usize,
    /// Bytes of the objects that were alive.
    pub bytes_live: usize,
    /// Bytes outside of the heap that live objects reported.
    pub bytes_external: usize,
    /// How long writers were kept out: marking and finish together. Earlier parts of the mark are not in it.
    pub pause: Duration,
    /// How long everybody was kept out: the finish.
    pub finish: Duration,
    /// How long reclaiming took, with nothing locked.
    pub sweep: Duration,
    /// Drops that panicked, and `on_collect` hooks.
    pub drop_panics: usize,
    /// Actions of cleaners that ran.
    pub cleaners_run: usize,
    /// Actions of cleaners that panicked.
    pub cleaner_panics: usize,
    /// Whether cleaners and drops of what died, here or in a collection before, have not all ended: they were left for
    /// later, because the collecting thread holds another space, or for the space's driver; or another thread is busy with
    /// them for long.
    pub sweep_deferred: bool,
}

impl CollectReport {
    /// What two collections did together: counts and times of both, and of the second how it left the space.
    #[must_use]
    pub fn followed_by(self, next: &CollectReport) -> CollectReport {
        CollectReport {
            objects_reclaimed: amount::sum([self.objects_reclaimed, next.objects_reclaimed]),
            objects_evicted: amount::sum([self.objects_evicted, next.objects_evicted]),
            bytes_evicted: amount::sum([self.bytes_evicted, next.bytes_evicted]),
            pause: self.pause.max(next.pause),
            finish: self.finish.max(next.finish),
            sweep: self.sweep.saturating_add(next.sweep),
            drop_panics: amount::sum([self.drop_panics, next.drop_panics]),
            cleaners_run: amount::sum([self.cleaners_run, next.cleaners_run]),
            cleaner_panics: amount::sum([self.cleaner_panics, next.cleaner_panics]),
            ..next.clone()
        }
    }
}

/// Totals over the life of a space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcStats {
    /// Collections completed.
    pub cycles: u64,
    /// Minor ones among them.
    pub cycles_minor: u64,
    /// Parts of marks that were done before the collection that they are for.
    pub increments: u64,
    /// Collections given up because of a panic, or for want of memory.
    pub cycles_abandoned: u64,
    /// Collections that had less memory for their mark stack than they asked for: they went on with what there was,
    /// which takes longer.
    pub cycles_short_of_memory: u64,
    /// Objects reclaimed.
    pub objects_reclaimed: u64,
    /// Drops that panicked, and `on_collect` hooks.
    pub drop_panics: u64,
    /// Actions of cleaners that ran.
    pub cleaners_run: u64,
    /// Actions of cleaners that panicked.
    pub cleaner_panics: u64,
    /// Panics of `on_evict` callbacks, and of the policy that chooses what to evict.
    pub evict_panics: u64,
    /// Events that [listeners](crate::Builder::on_event) were not told of, as more than 1,024 collections waited to be told
    /// by a driver that was stuck in user code.
    pub events_dropped: u64,
    /// The longest time that writers were kept out by a collection, or by a part of its mark.
    pub pause_max: Duration,
    /// All such times together.
    pub pause_total: Duration,
    /// How often they were how long.
    pub pauses: PauseHistogram,
    /// The longest time that everybody was kept out.
    pub finish_max: Duration,
    /// All time spent reclaiming, with nothing locked.
    pub sweep_total: Duration,
}

impl GcStats {
    /// Adds the totals of a space whose objects were merged into this one's.
    pub(crate) fn add(&mut self, other: &GcStats) {
        self.cycles += other.cycles;
        self.cycles_minor += other.cycles_minor;
        self.increments += other.increments;
        self.cycles_abandoned += other.cycles_abandoned;
        self.cycles_short_of_memory += other.cycles_short_of_memory;
        self.objects_reclaimed += other.objects_reclaimed;
        self.drop_panics += other.drop_panics;
        self.cleaners_run += other.cleaners_run;
        self.cleaner_panics += other.cleaner_panics;
        self.evict_panics += other.evict_panics;
        self.events_dropped += other.events_dropped;
        self.pause_max = self.pause_max.max(other.pause_max);
        self.pause_total = self.pause_total.saturating_add(other.pause_total);
        self.pauses.add(&other.pauses);
        self.finish_max = self.finish_max.max(other.finish_max);
        self.sweep_total = self.sweep_total.saturating_add(other.sweep_total);
    }
}

/// Byte counts of a space, at one moment: reserved ≥ committed ≥ allocated ≥ live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Bytes of address space mapped for all spaces of the process.
    pub reserved: usize,
    /// Bytes leased to this space.
    pub committed: usize,
    /// Bytes of objects: those of `live`, and those handed to allocation since.
    pub allocated: usize,
    /// Bytes of objects that were alive at the last collection. While what it found dead is being swept, what is left of
    /// that too.
    pub live: usize,
    /// Bytes outside of the heap that objects reported in the last collection.
    pub external: usize,
    /// Bytes outside of the heap that are charged to the space's [`Ledger`](crate::Ledger).
    pub charged: usize,
}
