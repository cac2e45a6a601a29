//! Who runs a space's collections: at most one at a time.

use cspace_core::sync::{Condvar, Mutex, MutexGuard};

/// A seat that one driver has at a time: a worker, the embedder's own thread, or a pool.
///
/// ```text
/// Vacant ──take──> Entering ──enter──> Taken ──ask_to_leave──> Leaving ──leave──> Vacant
///                     │                  └────begin_to_leave──────^                 ^
///                     └────────────────────────leave────────────────────────────────┘
/// ```
///
/// What is attached to a tenure is taken away before its `leave`: after it, it may be the next one's.
///
/// - **Q3 (one).** From `take` to `leave` there is one tenure; nobody else's `take` succeeds.
/// - **Q4 (out).** When [`wait_idle`](Seat::wait_idle) returns to who asked the tenant to leave, the tenant does
///   not work and will not begin to, and neither does its stand-in, which may work beside it.
#[derive(Debug)]
pub struct Seat {
    state: Mutex<State>,
    changed: Condvar,
}

/// One driver's time in the seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Vacant,
    Entering,
    Taken,
    Leaving,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Of who is in the seat, or was last.
    tenure: u64,
    /// The tenant is at work.
    busy: bool,
    /// Stand-ins at work: of the tenant, and of tenants that left by themselves meanwhile.
    stand_ins: usize,
}

impl Seat {
    /// A vacant seat.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Seat {
        Seat {
            state: Mutex::new(State { phase: Phase::Vacant, tenure: 0, busy: false, stand_ins: 0 }),
            changed: Condvar::default(),
        }
    }

    /// Waits until nobody is coming or going.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        while matches!(state.phase, Phase::Entering | Phase::Leaving) {
            self.changed.wait(&mut state);
        }
        state
    }

    /// Takes the seat if it is vacant. Whoever gets the tenure must [`enter`](Seat::enter) or
    /// [`leave`](Seat::leave).
    pub fn take(&self) -> Option<Tenure> {
        let mut state = self.settled();
        if state.phase == Phase::Taken {
            return None;
        }
        state.phase = Phase::Entering;
        state.tenure += 1;
        state.busy = false;
        Some(Tenure(state.tenure))
    }

    /// The driver is ready, and can be asked to leave from now on.
    pub fn enter(&self, tenure: Tenure) {
        let mut state = self.state.lock();
        debug_assert!(state.phase == Phase::Entering && state.tenure == tenure.0);
        state.phase = Phase::Taken;
        drop(state);
        self.changed.notify_all();
    }

    /// Asks the tenant to leave, if there is one. Whoever gets the tenure must tell the driver to stop,
    /// [`wait_idle`](Seat::wait_idle), and end the tenure with [`leave`](Seat::leave). If somebody else asked before,
    /// waits until the seat is vacant.
    pub fn ask_to_leave(&self) -> Option<Tenure> {
        let mut state = self.settled();
        if state.phase == Phase::Vacant {
            return None;
        }
        state.phase = Phase::Leaving;
        Some(Tenure(state.tenure))
    }

    /// Waits until the tenant, which was asked to leave, does not work, nor any stand-in.
    pub fn wait_idle(&self) {
        let mut state = self.state.lock();
        while state.busy || state.stand_ins > 0 {
            self.changed.wait(&mut state);
        }
    }

    /// The tenant begins to work; false if its time is over or it was asked to leave.
    pub fn begin_work(&self, tenure: Tenure) -> bool {
        let mut state = self.state.lock();
        let may = state.phase == Phase::Taken && state.tenure == tenure.0 && !state.busy;
        if may {
            state.busy = true;
        }
        may
    }

    /// The tenant has worked.
    pub fn end_work(&self, tenure: Tenure) {
        let mut state = self.state.lock();
        if state.tenure == tenure.0 {
            state.busy = false;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// A stand-in of the tenant's begins to work; false if the tenant's time is over or it was asked to leave.
    pub fn begin_stand_in(&self, tenure: Tenure) -> bool {
        let mut state = self.state.lock();
        let may = state.phase == Phase::Taken && state.tenure == tenure.0;
        if may {
            state.stand_ins += 1;
        }
        may
    }

    /// The stand-in has worked.
    pub fn end_stand_in(&self) {
        self.state.lock().stand_ins -= 1;
        self.changed.notify_all();
    }

    /// The tenant, which does not work, begins to leave by itself; false if it was asked to, or its time is over.
    /// Else it must end the tenure with [`leave`](Seat::leave).
    pub fn begin_to_leave(&self, tenure: Tenure) -> bool {
        let mut state = self.state.lock();
        let may = state.phase == Phase::Taken && state.tenure == tenure.0;
        if may {
            state.phase = Phase::Leaving;
        }
        may
    }

    /// Ends a tenure: by whoever asked the tenant to leave or began to leave, or by a driver that did not become
    /// ready.
    pub fn leave(&self, tenure: Tenure) {
        let mut state = self.state.lock();
        debug_assert!(matches!(state.phase, Phase::Entering | Phase::Leaving));
        debug_assert_eq!(state.tenure, tenure.0);
        state.phase = Phase::Vacant;
        drop(state);
        self.changed.notify_all();
    }

    /// Whether somebody is in the seat.
    pub fn is_taken(&self) -> bool {
        self.state.lock().phase != Phase::Vacant
    }
}
