//! Panics at the nth time.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::Arc;

use cspace::{IObject, Rootable, Visitor};

/// Counts down to a panic. Unarmed, it does nothing.
#[derive(Clone, Default)]
pub struct Trap(Arc<AtomicU32>);

impl Trap {
    /// The nth call of [`spring`](Trap::spring) from now on panics.
    pub fn arm(&self, nth: u32) {
        self.0.store(nth, SeqCst);
    }

    /// Disarms; whether the trap had not gone off.
    pub fn disarm(&self) -> bool {
        self.0.swap(0, SeqCst) != 0
    }

    /// A place where a fault can happen.
    pub fn spring(&self) {
        self.spring_with(|| Box::new("the trap went off"));
    }

    pub fn spring_with(&self, payload: impl FnOnce() -> Box<dyn std::any::Any + Send>) {
        let left = self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) {
            // A panic whose message is not printed.
            resume_unwind(payload());
        }
    }
}

/// A payload that panics itself when it is dropped.
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Of no size, as nobody will drop it.
            resume_unwind(Box::new(()));
        }
    }
}

/// A part of an object whose visit is a place for a fault.
#[derive(Clone)]
pub struct VisitTrap(pub Trap);

impl Rootable for VisitTrap {
    type At<'gc> = VisitTrap;
}
// SAFETY: there is no handle inside, and the drop touches no object.
unsafe impl<'gc> IObject<'gc> for VisitTrap {
    type R = VisitTrap;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        self.0.spring();
    }
}

/// A part of an object whose drop is a place for a fault.
pub struct DropTrap(pub Trap);

impl Drop for DropTrap {
    fn drop(&mut self) {
        self.0.spring();
    }
}

/// Runs `program` with the fault at the first place, the second, and so on; returns how many there
/// were.
pub fn every_place(mut program: impl FnMut(u32) -> bool) -> u32 {
    for nth in 1..100_000 {
        if !program(nth) {
            return nth - 1;
        }
    }
    panic!("the program never gets past its faults");
}
