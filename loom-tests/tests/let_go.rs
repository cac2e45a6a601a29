//! A handle that is let go of without a lock is seen by the cycle that begins, or noted for the next ([`ChangeFlag`]).
//!
//! The scene is that of `home::note_dropped`: the last handle of a root lets go of its entry, and then looks at the flag;
//! a cycle takes the flag away, and then looks at the entries. Each has a sequentially consistent fence in between, as
//! the look at the flag is a relaxed load that may be of a time before the cycle.

use cspace_core::protocol::ChangeFlag;
use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play, spawn, Arc};

#[cfg(cspace_loom)]
use loom::sync::atomic::{fence, Ordering::SeqCst};
#[cfg(not(cspace_loom))]
use std::sync::atomic::{fence, Ordering::SeqCst};

/// P23, for what no lock orders: `fences` of the handle and of the cycle.
fn what_is_let_go_of_is_seen_or_noted(fences: [bool; 2]) {
    play(move || {
        let flag = Arc::new(ChangeFlag::new());
        // Another change, before: who notes again need not write.
        let _ = flag.note();
        let handles = Arc::new(AtomicUsize::new(1));
        let dropper = {
            let (flag, handles) = (Arc::clone(&flag), Arc::clone(&handles));
            spawn(move || {
                handles.fetch_sub(1, Relaxed);
                if fences[0] {
                    fence(SeqCst);
                }
                let _ = flag.note();
            })
        };
        flag.begin_cycle();
        if fences[1] {
            fence(SeqCst);
        }
        let seen = handles.load(Relaxed);
        dropper.join().unwrap();
        assert!(seen == 0 || flag.is_changed(), "neither seen nor noted");
    });
}

#[test]
fn p23_what_no_lock_orders_is_seen_or_noted() {
    what_is_let_go_of_is_seen_or_noted([true, true]);
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;

    #[test]
    #[should_panic = "neither seen nor noted"]
    fn a_handle_without_a_fence_is_found_out() {
        what_is_let_go_of_is_seen_or_noted([false, true]);
    }

    #[test]
    #[should_panic = "neither seen nor noted"]
    fn a_cycle_without_a_fence_is_found_out() {
        what_is_let_go_of_is_seen_or_noted([true, false]);
    }
}
