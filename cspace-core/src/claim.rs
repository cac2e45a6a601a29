//! The claim on a space's cycle: whoever has it may collect, nobody else.
//!
//! The claim goes along with the cycle, from the mark to the end of the sweep of its batch, and
//! keeps the space alive meanwhile: the space's destruction would not know of a batch that is out. For the user code
//! that the batch leaves to do, cleaners and drops, the claim is given up ([`DropsOut`]): it may take for ever.
//!
//! It is a gate's state ([`CycleGate`](crate::protocol::CycleGate)), not a held mutex: `visit_objects` and policies run
//! while it is claimed.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{run_deferred_of_gate, Batch};
use crate::collector_handle::CollectorHandle;
use crate::home::Gate;
use crate::space::Space;

/// How long a thread that waits for drops sleeps before it looks whether some were left for a thread like it.
pub(crate) const DEFERRED_CHECK: Duration = Duration::from_millis(1);
/// How long a single cleaner or drop of another thread is waited for.
const DROP_PATIENCE: Duration = Duration::from_millis(250);
/// How long a thread that waits for a claim sleeps before it looks whether to go on.
const CLAIM_CHECK: Duration = Duration::from_millis(1);

/// The right to run a cycle of a space. One exists at a time; dropping it gives it up.
///
/// It is *stale* if the space's objects were merged into another space before the cycle began.
#[must_use = "the cycle is given up when the claim is dropped"]
pub struct CycleClaim {
    space: CollectorHandle,
    gate: Arc<Gate>,
    /// It was given up for the drops of its batch.
    has_left: bool,
}

impl CycleClaim {
    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The space's lock is held by the collector; false if the claim is stale.
    pub(crate) fn begin(&self) -> bool {
        self.gate.begin()
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.gate.is_stale()
    }

    /// Gives the claim up for the drops of the batch, which is swept: other cycles may begin.
    pub(crate) fn leave_for_drops(mut self) -> DropsOut {
        self.gate.leave_for_drops();
        self.has_left = true;
        DropsOut { gate: Arc::clone(&self.gate), space: self.space.collector_handle() }
    }
}

/// Drops of a batch that are not done yet: they keep the space alive, and no cycle out.
pub(crate) struct DropsOut {
    gate: Arc<Gate>,
    /// Let go of after the gate was told.
    space: CollectorHandle,
}

impl DropsOut {
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn space_id(&self) -> u64 {
        self.space.inner.id()
    }
}

impl Drop for DropsOut {
    fn drop(&mut self) {
        // What is released keeps spaces alive, as that of a claim.
        drop(self.gate.end_drops());
    }
}

impl Drop for CycleClaim {
    fn drop(&mut self) {
        if !self.has_left {
            // What is released keeps spaces alive: it goes with nothing locked.
            drop(self.gate.release());
        }
    }
}

impl Space {
    /// Claims the cycle of this space, if none runs and no batch of its objects is out. For collectors.
    pub fn try_claim_cycle(&self) -> Option<CycleClaim> {
        let gate = Arc::clone(&self.inner.current_home().gate);
        gate.try_claim().then(|| CycleClaim {
            space: self.collector_handle(),
            gate,
            has_left: false,
        })
    }

    /// Waits until what remains of earlier batches of this space has ended: cleaners and drops. Those that were left for
    /// another thread are run here. False if a single one takes longer than a quarter of a second, or if this thread may
    /// not run any. For collectors, on behalf of somebody who asks for a collection.
    pub fn wait_for_drops(&self) -> bool {
        if !Batch::can_reclaim() {
            return false;
        }
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            let gate = Arc::clone(&self.inner.current_home().gate);
            run_deferred_of_gate(&gate);
            if gate.wait_for_drops(DEFERRED_CHECK) {
                return true;
            }
            let done = Some(gate.owner().drops_done.load(Relaxed));
            if done != seen {
                (seen, since) = (done, Instant::now());
            } else if since.elapsed() >= DROP_PATIENCE {
                return false;
            }
        }
    }

    /// Waits until a cycle of this space may be claimed, or `patience` is over, or `go_on` says no; true in the
    /// first case. Whoever has the claim runs no user code but `visit_objects` and policies. For collectors.
    pub fn wait_for_cycle(&self, patience: Option<Duration>, go_on: &dyn Fn() -> bool) -> bool {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            let gate = Arc::clone(&self.inner.current_home().gate);
            if gate.wait_for(CLAIM_CHECK) {
                return true;
            }
            if !go_on() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
        }
    }
}
