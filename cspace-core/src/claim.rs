//! The claim on a space's cycle: whoever has it may collect, nobody else.
//!
//! The claim goes along with the cycle, from the mark to the end of the sweep of its batch, and
//! keeps the space alive meanwhile: the space's destruction would not know of a batch that is out. For the user code
//! that the batch leaves to do, cleaners and drops, the claim is given up ([`DropsOut`]): it may take for ever.
//!
//! It is a gate's state ([`CycleGate`](crate::protocol::CycleGate)), not a held mutex: `visit_objects` and policies run
//! while it is claimed.

use std::sync::Arc;
use std::time::Duration;

use crate::collector_handle::CollectorHandle;
use crate::home::Gate;
use crate::space::Space;

/// How long a thread that waits for drops sleeps before it looks whether some were left for a thread like it.
pub(crate) const DEFERRED_CHECK: Duration = Duration::from_millis(1);

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
    /// The claim on the space's cycle, if none runs and no batch of its objects is out.
    pub(crate) fn try_new(space: &Space) -> Option<CycleClaim> {
        let gate = Arc::clone(&space.inner.current_home().gate);
        gate.try_claim().then(|| CycleClaim {
            space: space.collector_handle(),
            gate,
            has_left: false,
        })
    }

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
