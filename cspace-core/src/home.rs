//! The home record: what blocks and handles point at instead of their space.
//!
//! A handle may outlive its space, and the objects of a space may be merged into another one. So what
//! handles need is in a record of its own, counted by the space and by every handle, and the record says
//! which space it belongs to now. A merge tells the record of the source, whose handles thereby belong to
//! the target; it touches neither handles nor blocks nor objects.
//!
//! - **M1 (belongs).** `space` names the space that has the objects of this record's handles. It is written
//!   with that space's lock and the next one's held exclusively, so in an access a comparison with the
//!   access's own space is stable.
//! - **M2 (absorbed).** The records that were merged into a space are in the list of its own record for as
//!   long as a handle, a cleaner or a block goes by them.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::changes::Changes;
use crate::chunk::SpanRef;
use crate::cleaner::{Cleanup, Cleanups};
use crate::collector_handle::CollectorHandle;
use crate::heap::Counters;
use crate::ledger::Ledger;
use crate::owned_root::{DroppedCell, OwnedList, OwnedRef};
use crate::protocol::CycleGate;
use crate::root::{RootSnapshot, RootTable};

/// The gate of a space's cycles; swept spans come back by it.
pub(crate) type Gate = CycleGate<SpanRef, Arc<Counters>, CollectorHandle>;

/// The part of a space that handles outside of accesses refer to.
pub(crate) struct Home {
    /// What blocks name. 0 is no record.
    id: u64,
    /// The space that the record belongs to (M1).
    space: AtomicU64,
    pub(crate) roots: Mutex<RootTable>,
    pub(crate) owned: Mutex<OwnedList>,
    pub(crate) cleanups: Cleanups,
    pub(crate) gate: Arc<Gate>,
    /// What is charged to it; not by this record, but by wherever the books have moved.
    pub(crate) ledger: Ledger,
    /// Records of spaces that were merged into this one's (M2).
    absorbed: Mutex<Vec<Absorbed>>,
}

struct Absorbed {
    home: Arc<Home>,
    /// A cycle of the new space condemned since: once it is reclaimed, no block names the record.
    is_swept: bool,
}

/// The next record's number.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Home {
    pub(crate) fn new(space: u64, counters: &Arc<Counters>, ledger: Ledger) -> Arc<Home> {
        Arc::new(Home {
            id: NEXT_ID.fetch_add(1, Relaxed),
            space: AtomicU64::new(space),
            roots: Mutex::new(RootTable::new(&counters.changes)),
            owned: Mutex::new(OwnedList::new(&counters.changes)),
            cleanups: Cleanups::default(),
            gate: Arc::new(CycleGate::new(Arc::clone(counters))),
            ledger,
            absorbed: Mutex::default(),
        })
    }

    /// What blocks name.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The number of the space that the record belongs to. Stable in an access to that space (M1).
    #[inline(always)]
    pub(crate) fn space_id(&self) -> u64 {
        self.space.load(Relaxed)
    }

    /// The records merged into this one.
    pub(crate) fn absorbed(&self) -> Vec<Arc<Home>> {
        self.absorbed.lock().iter().map(|absorbed| Arc::clone(&absorbed.home)).collect()
    }

    /// A cycle begins: forgets the records that neither a handle nor a block goes by any more (M2).
    pub(crate) fn begin_cycle(&self) {
        // The batch of the cycle before is reclaimed, or this one could not have been claimed.
        self.absorbed.lock().retain(|absorbed| !absorbed.is_swept || absorbed.home.has_handles());
    }

    /// A cycle has condemned: its batch will sweep every block.
    pub(crate) fn note_condemned(&self) {
        for absorbed in &mut *self.absorbed.lock() {
            absorbed.is_swept = true;
        }
    }

    fn has_handles(&self) -> bool {
        self.roots.lock().live_count() > 0
            || !self.owned.lock().is_empty()
            || !self.cleanups.is_empty()
    }

    /// Merges this record, and those merged into it before, into another space's, which `changes` is of.
    ///
    /// The caller holds both spaces exclusively (M1).
    pub(crate) fn merge_into(self: &Arc<Home>, target: &Home, changes: &Arc<Changes>) {
        let space = target.space_id();
        let mut moving = core::mem::take(&mut *self.absorbed.lock());
        for absorbed in &mut moving {
            absorbed.home.belong_to(space, changes);
            absorbed.is_swept = false;
        }
        self.belong_to(space, changes);
        moving.push(Absorbed { home: Arc::clone(self), is_swept: false });
        let mut list = target.absorbed.lock();
        list.append(&mut moving);
    }

    /// The record belongs to another space from now on (M1), which is told of what its handles let go of.
    fn belong_to(&self, space: u64, changes: &Arc<Changes>) {
        self.space.store(space, Relaxed);
        self.roots.lock().set_changes(changes);
        self.owned.lock().set_changes(changes);
    }

    /// How many roots there are, by this record and those merged into it.
    pub(crate) fn num_roots(&self) -> usize {
        let absorbed = self.absorbed();
        let others: usize = absorbed.iter().map(|home| home.roots.lock().live_count()).sum();
        self.roots.lock().live_count() + others
    }

    /// The roots of the records merged into this one, to be read without their mutexes.
    pub(crate) fn absorbed_roots(&self) -> Vec<(Arc<Home>, RootSnapshot)> {
        let absorbed = self.absorbed().into_iter();
        absorbed
            .map(|home| {
                let roots = home.roots.lock().snapshot();
                (home, roots)
            })
            .collect()
    }

    /// The owned cells whose handles exist, by this record and those merged into it.
    pub(crate) fn owned_cells(&self) -> Vec<OwnedRef> {
        let mut cells = self.owned.lock().live();
        for home in self.absorbed() {
            cells.append(&mut home.owned.lock().live());
        }
        cells
    }

    /// Takes out the owned cells whose handles are gone.
    pub(crate) fn take_dropped(&self) -> Vec<DroppedCell> {
        let mut dropped = self.owned.lock().take_dropped();
        for home in self.absorbed() {
            dropped.append(&mut home.owned.lock().take_dropped());
        }
        dropped
    }

    /// Takes out the actions of all cleaners, the oldest first: those of the records merged into this one were
    /// registered before their merge. In a finish, or at the end of the space.
    pub(crate) fn detach_cleanups(&self) -> Vec<Cleanup> {
        let mut all = Vec::new();
        for home in self.absorbed() {
            home.cleanups.detach(&mut all);
        }
        self.cleanups.detach(&mut all);
        all
    }

    /// Lets go of all owned cells, and of the records merged into this one: the space is gone.
    pub(crate) fn release_all(&self) -> Vec<DroppedCell> {
        let mut dropped = self.owned.lock().release_all();
        for absorbed in core::mem::take(&mut *self.absorbed.lock()) {
            dropped.append(&mut absorbed.home.owned.lock().release_all());
        }
        dropped
    }

    /// Whether blocks that name this record are this one's.
    pub(crate) fn has_id(&self, id: u64) -> bool {
        self.id == id || self.absorbed.lock().iter().any(|absorbed| absorbed.home.id == id)
    }
}
