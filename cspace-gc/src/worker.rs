//! The worker: a thread of a space's own that runs its collections.
//!
//! It knows the space by a weak handle and has a strong one only while it looks or collects. So dropping the
//! last handle elsewhere ends it, and if its own is the last one, the objects are dropped here.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use cspace_core::collector::{LockWait, WeakCollectorHandle};
use cspace_core::Space;

use crate::control::{DrivingControl, GcControl, STOP_CHECK};
use crate::period::{Due, Timer};
use crate::protocol::Signal;
use crate::stand_in::ThreadDriver;

/// The stack of a thread that collects, in bytes, unless a setting says otherwise: what main threads have as a rule, so that
/// what is dropped there without ado is here too. It takes memory as far as it is used.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// Starts the worker of a space.
pub(crate) fn spawn(
    control: Arc<GcControl>,
    space: &Space,
    driver: Arc<ThreadDriver>,
    stack_bytes: Option<usize>,
) -> io::Result<JoinHandle<()>> {
    // Systems show the first fifteen bytes or so; a zero byte cannot be in a thread's name.
    let name = format!("gc {}", space.name()).replace('\0', " ");
    let builder = Builder::new().name(name).stack_size(stack_bytes.unwrap_or(STACK_BYTES));
    let space = space.downgrade_to_collector();
    builder.spawn(move || {
        // For the thread's whole life: destructors of thread-locals run after what follows, and must not wait for it.
        core::mem::forget(DrivingControl::begin(&control));
        /// Lets go of the thread's handle also when a panic gets here.
        struct Detach<'a>(&'a GcControl);
        impl Drop for Detach<'_> {
            fn drop(&mut self) {
                self.0.detach_thread();
            }
        }
        let _detach = Detach(&control);
        run(&control, &space, &driver.signal);
    })
}

fn run(control: &GcControl, space: &WeakCollectorHandle, signal: &Signal) {
    let timer = Timer::new(Instant::now());
    let mut failures = 0;
    loop {
        let seen = signal.look();
        if seen.is_stopped() {
            return;
        }
        let Some(strong) = space.upgrade() else { return };
        let due = control.due(&strong, &timer);
        let deadline = match due {
            Due::Now => {
                let go_on = || !signal.is_stopped();
                let wait = LockWait { slice: STOP_CHECK, go_on: &go_on };
                match control.drive(&strong, &timer, &mut failures, wait, &go_on) {
                    Ok(_) => continue,
                    Err((_, retry)) => Instant::now().checked_add(retry),
                }
            }
            Due::At(deadline) => Some(deadline),
            Due::WhenChanged | Due::WhenWoken => None,
        };
        drop(strong);
        signal.wait(seen, deadline);
    }
}
