//! Who may run a cycle, which batches are out, and the way back for what they swept.
//!
//! Each home has a gate. A cycle *claims* it, *begins* when it holds the space's lock, and *releases*
//! it when its batch is swept; meanwhile what the sweep has done with is *put* into the gate, from where
//! the mutator *takes* it. When the objects of a space are merged into another one, its gate *moves* into
//! that one's: a batch that is out then belongs to the other space, whose next cycle waits for it.
//!
//! What a swept batch leaves to do is user code, cleaners and drops, which may take for ever. So a batch *leaves* its
//! claim for them: other cycles may begin, but the space is kept, and what the drops free finds its way back, until
//! they have *ended*.
//!
//! ```text
//! claimed  begun  moved
//!    0       0      0     free, if no batch was inherited either
//!    1       0      0     somebody is about to begin
//!    1       1      0     marking, finishing, or a batch is out
//!    1       0      1     the claim is stale: it never began, its holder lets go of it (as it does if a batch
//!                         was inherited since)
//!    1       1      1     the batch belongs to the gate moved into, which counts it as inherited
//! ```
//!
//! A batch that has left its claim is counted as *dropping*, by the gate that its objects belong to.
//!
//! - **P7 (one).** From `begin` to `release` of a claim no other claim on those objects begins: not on the
//!   gate, and not on the one that it moved into.
//! - **P8 (none lost).** What is put into a gate is taken exactly once, by the space that the objects belong
//!   to, with the counts that go along with it.
//! - **P9 (kept).** The space that a batch belongs to is there until the batch is released, and the drops that it left
//!   the claim for have ended.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};

/// `T` is what is handed back, `O` the counts of the space that it is handed back to, `K` a handle that
/// keeps a space alive.
#[derive(Debug)]
pub struct CycleGate<T, O, K> {
    state: Mutex<GateState<T, O, K>>,
    changed: Condvar,
    /// Whether there may be something to take; written under the mutex.
    has_returned: AtomicBool,
    owner: O,
}

#[derive(Debug)]
struct GateState<T, O, K> {
    claimed: bool,
    begun: bool,
    moved: bool,
    /// Batches that came with gates that moved into this one.
    inherited: usize,
    /// Batches that are swept and whose drops have not ended, those that came with gates that moved here included.
    dropping: usize,
    /// Where this gate moved, while batches are out that go by it.
    moved_to: Option<Arc<CycleGate<T, O, K>>>,
    /// Those batches.
    passing: usize,
    /// Keeps the space that they belong to alive (P9).
    keep: Option<K>,
    returned: Vec<Vec<T>>,
}

impl<T, O, K> CycleGate<T, O, K> {
    /// A free gate.
    pub fn new(owner: O) -> CycleGate<T, O, K> {
        CycleGate {
            state: Mutex::new(GateState {
                claimed: false,
                begun: false,
                moved: false,
                inherited: 0,
                dropping: 0,
                moved_to: None,
                passing: 0,
                keep: None,
                returned: Vec::new(),
            }),
            changed: Condvar::default(),
            has_returned: AtomicBool::new(false),
            owner,
        }
    }

    /// The counts of the gate's space.
    pub fn owner(&self) -> &O {
        &self.owner
    }

    /// Claims the cycle, if none is claimed and no batch is out.
    pub fn try_claim(&self) -> bool {
        let mut state = self.state.lock();
        let free = state.is_free();
        if free {
            state.claimed = true;
        }
        free
    }

    /// The claim's holder has the space's lock and begins, unless the claim is stale: since it was made, the gate
    /// has moved, or another one with a batch that is out moved into it. The lock keeps either from happening
    /// from here on, until the batch is out.
    pub fn begin(&self) -> bool {
        let mut state = self.state.lock();
        debug_assert!(state.claimed && !state.begun);
        state.begun = !state.moved && state.inherited == 0;
        state.begun
    }

    /// Whether the gate has moved, so that a claim that has not begun is stale.
    pub fn is_stale(&self) -> bool {
        self.state.lock().moved
    }

    /// Gives the claim up: the batch, if there is one, is reclaimed, or there will be none. Returns what kept
    /// the batch's space alive, to be dropped with nothing locked.
    pub fn release(self: &Arc<Self>) -> Vec<K> {
        let mut kept = Vec::new();
        let mut state = self.state.lock();
        state.claimed = false;
        let begun = core::mem::take(&mut state.begun);
        if !state.moved {
            drop(state);
            self.changed.notify_all();
            return kept;
        }
        if !begun {
            return kept;
        }
        let mut next = state.pass(&mut kept);
        drop(state);
        loop {
            let mut state = next.state.lock();
            if !state.moved {
                state.inherited -= 1;
                drop(state);
                next.changed.notify_all();
                return kept;
            }
            let further = state.pass(&mut kept);
            drop(state);
            next = further;
        }
    }

    /// The batch is swept, and gives the claim up for its drops: other cycles may begin. Whoever calls it calls
    /// [`end_drops`](CycleGate::end_drops) when they are done.
    pub fn leave_for_drops(self: &Arc<Self>) {
        let mut gate = Arc::clone(self);
        loop {
            let mut state = gate.state.lock();
            let is_own = Arc::ptr_eq(&gate, self);
            if is_own {
                state.claimed = false;
            }
            let begun = is_own && core::mem::take(&mut state.begun);
            let Some(next) = &state.moved_to else {
                debug_assert!(begun != state.moved || !is_own);
                if !begun {
                    state.inherited -= 1;
                }
                state.dropping += 1;
                drop(state);
                gate.changed.notify_all();
                return;
            };
            let next = Arc::clone(next);
            drop(state);
            gate = next;
        }
    }

    /// The drops of a batch that left its claim for them have ended. Returns what kept the batch's space alive, to be
    /// dropped with nothing locked.
    pub fn end_drops(self: &Arc<Self>) -> Vec<K> {
        let mut kept = Vec::new();
        let mut gate = Arc::clone(self);
        loop {
            let mut state = gate.state.lock();
            if !state.moved {
                state.dropping -= 1;
                drop(state);
                gate.changed.notify_all();
                return kept;
            }
            let next = state.pass(&mut kept);
            drop(state);
            gate = next;
        }
    }

    /// Waits until no batch of the gate's space is dropping, but not much longer than `patience`; whether none is.
    pub fn wait_for_drops(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if state.dropping > 0 {
            self.changed.wait_for(&mut state, patience);
        }
        state.dropping == 0
    }

    /// Whether something that is kept for batches that went out by this gate is so (P9).
    pub fn keeps(self: &Arc<Self>, is_so: impl Fn(&K) -> bool) -> bool {
        let mut gate = Arc::clone(self);
        loop {
            let state = gate.state.lock();
            if state.keep.as_ref().is_some_and(&is_so) {
                return true;
            }
            let Some(next) = state.moved_to.clone() else { return false };
            drop(state);
            gate = next;
        }
    }

    /// Whether a batch that went out by this gate belongs to the other one by now.
    pub fn leads_to(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut gate = Arc::clone(self);
        loop {
            if Arc::ptr_eq(&gate, other) {
                return true;
            }
            let next = gate.state.lock().moved_to.clone();
            let Some(next) = next else { return false };
            gate = next;
        }
    }

    /// Waits until the gate may be free or has moved, but not much longer than `patience`. True if a claim
    /// may be had now.
    pub fn wait_for(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_free() && !state.moved {
            self.changed.wait_for(&mut state, patience);
        }
        state.is_free() || state.moved
    }

    /// Hands back what the sweep has done with, to the space that it belongs to now; `settle` is called with
    /// that space's counts, which do not move meanwhile.
    pub fn put(self: &Arc<Self>, items: Vec<T>, settle: impl FnOnce(&O)) {
        let mut gate = Arc::clone(self);
        loop {
            let mut state = gate.state.lock();
            let Some(next) = &state.moved_to else {
                settle(&gate.owner);
                if !items.is_empty() {
                    state.returned.push(items);
                    gate.has_returned.store(true, Ordering::Relaxed);
                }
                return;
            };
            let next = Arc::clone(next);
            drop(state);
            gate = next;
        }
    }

    /// Takes what was handed back. By the space that the gate belongs to.
    pub fn take(&self) -> Vec<Vec<T>> {
        // A flag read too early is seen the next time.
        if !self.has_returned.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut state = self.state.lock();
        self.has_returned.store(false, Ordering::Relaxed);
        core::mem::take(&mut state.returned)
    }

    /// Shows what was handed back and not taken yet.
    pub fn with_returned<R>(&self, f: impl FnOnce(&[Vec<T>]) -> R) -> R {
        f(&self.state.lock().returned)
    }

    /// Moves this gate into another: the spaces' objects are merged. What was handed back goes along, and so
    /// does a batch that is out, for as long as which `keep` is kept. `settle` is called with the counts of
    /// both, which nobody changes meanwhile.
    ///
    /// The caller holds the exclusive locks of both spaces, so neither is in a mark or a finish.
    pub fn move_into(
        self: &Arc<Self>,
        target: &Arc<Self>,
        keep: impl FnOnce() -> K,
        settle: impl FnOnce(&O, &O),
    ) {
        // In this order, which is that of the moves: a gate that has moved is nobody's target any more.
        let mut from = self.state.lock();
        let mut into = target.state.lock();
        debug_assert!(!from.moved && !into.moved);
        settle(&self.owner, &target.owner);
        if !from.returned.is_empty() {
            into.returned.append(&mut from.returned);
            target.has_returned.store(true, Ordering::Relaxed);
        }
        let out = core::mem::take(&mut from.inherited) + usize::from(from.begun);
        let dropping = core::mem::take(&mut from.dropping);
        into.inherited += out;
        into.dropping += dropping;
        let out = out + dropping;
        from.moved = true;
        from.passing = out;
        if out > 0 {
            from.moved_to = Some(Arc::clone(target));
            from.keep = Some(keep());
        }
        drop((from, into));
        self.changed.notify_all();
    }
}

impl<T, O, K> GateState<T, O, K> {
    fn is_free(&self) -> bool {
        !self.claimed && self.inherited == 0 && !self.moved
    }

    /// A batch that went by this gate is reclaimed. Where it is counted next.
    fn pass(&mut self, kept: &mut Vec<K>) -> Arc<CycleGate<T, O, K>> {
        let next = self.moved_to.clone().expect("a gate knows where to while batches go by it");
        self.passing -= 1;
        if self.passing == 0 {
            // Nothing goes by here any more; a long row of gates does not hold on to each other.
            self.moved_to = None;
            kept.extend(self.keep.take());
        }
        next
    }
}
