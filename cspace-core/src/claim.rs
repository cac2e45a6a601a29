//! The claim on a space's cycle: whoever has it may collect, nobody else.
//!
//! The claim goes along with the cycle, from the mark to the end of the reclaiming of its batch, and
//! keeps the space alive meanwhile: the space's destruction would not know of a batch that is out.
//!
//! It is a flag, not a held mutex: user code runs while it is claimed. A thread that holds a space, or
//! runs a sweep, must not wait for a claim, as a drop of that cycle may want what it holds.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::batch::run_deferred_of_all;
use crate::space::Space;

/// How long a waiting thread sleeps before it looks whether the cycle was left for a thread like it.
const DEFERRED_CHECK: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(crate) struct CycleState {
    claimed: Mutex<bool>,
    released: Condvar,
}

/// The right to run a cycle of a space. One exists at a time; dropping it gives it up.
#[must_use = "the cycle is given up when the claim is dropped"]
pub struct CycleClaim(Space);

impl CycleClaim {
    /// The space.
    pub fn space(&self) -> &Space {
        &self.0
    }
}

impl Drop for CycleClaim {
    fn drop(&mut self) {
        let state = &self.0.inner.cycle_state;
        *state.claimed.lock() = false;
        state.released.notify_all();
    }
}

impl Space {
    /// Claims the cycle of this space, if none runs. For collectors.
    pub fn try_claim_cycle(&self) -> Option<CycleClaim> {
        let mut claimed = self.inner.cycle_state.claimed.lock();
        if *claimed {
            return None;
        }
        *claimed = true;
        Some(CycleClaim(self.clone()))
    }

    /// Waits until no cycle of this space is claimed. Work that was left for a thread that holds no
    /// space is done meanwhile, as the cycle may be among it. For collectors.
    pub fn wait_for_cycle(&self) {
        let state = &self.inner.cycle_state;
        let mut claimed = state.claimed.lock();
        while *claimed {
            // A batch may be deferred at any moment, and nobody tells the condition.
            state.released.wait_for(&mut claimed, DEFERRED_CHECK);
            if *claimed {
                drop(claimed);
                run_deferred_of_all();
                claimed = state.claimed.lock();
            }
        }
    }
}
