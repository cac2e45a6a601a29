//! The claim on a space's cycle: whoever has it may collect, nobody else.
//!
//! The claim goes along with the cycle, from the mark to the end of the reclaiming of its batch, and
//! keeps the space alive meanwhile: the space's destruction would not know of a batch that is out.
//!
//! It is a gate's state ([`CycleGate`](crate::protocol::CycleGate)), not a held mutex: user code runs while
//! it is claimed. A thread that holds a space, or runs a sweep, must not wait for a claim, as a drop of that
//! cycle may want what it holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::run_deferred_of_gate;
use crate::home::Gate;
use crate::space::Space;

/// How long a waiting thread sleeps before it looks whether the cycle was left for a thread like it.
const DEFERRED_CHECK: Duration = Duration::from_millis(1);

/// The right to run a cycle of a space. One exists at a time; dropping it gives it up.
///
/// It is *stale* if the space's objects were merged into another space before the cycle began.
#[must_use = "the cycle is given up when the claim is dropped"]
pub struct CycleClaim {
    space: Space,
    gate: Arc<Gate>,
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
}

impl Drop for CycleClaim {
    fn drop(&mut self) {
        // What is released keeps spaces alive: it goes with nothing locked.
        drop(self.gate.release());
    }
}

impl Space {
    /// Claims the cycle of this space, if none runs and no batch of its objects is out. For collectors.
    pub fn try_claim_cycle(&self) -> Option<CycleClaim> {
        let gate = Arc::clone(&self.inner.current_home().gate);
        gate.try_claim().then(|| CycleClaim { space: self.clone(), gate })
    }

    /// Waits until a cycle of this space may be claimed, or `patience` is over, or `go_on` says no; true in the
    /// first case. The batch that is waited for is done here if it was left for a thread that holds no space. For
    /// collectors.
    pub fn wait_for_cycle(&self, patience: Option<Duration>, go_on: &dyn Fn() -> bool) -> bool {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            // A batch may be deferred at any moment, and nobody tells the condition.
            let gate = Arc::clone(&self.inner.current_home().gate);
            if gate.wait_for(DEFERRED_CHECK) {
                return true;
            }
            run_deferred_of_gate(&gate);
            if !go_on() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
        }
    }
}
