//! Listeners ran while the thread's own cycle was claimed: one that collected waited for itself.
use cspace::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::OnceLock;

#[test]
fn a_listener_may_collect() {
    super::within(10, || {
        static SPACE: OnceLock<CSpace> = OnceLock::new();
        let once = AtomicBool::new(false);
        let space = CSpace::builder().on_event(move |_| {
            if !once.swap(true, SeqCst) {
                let _ = SPACE.get().unwrap().synchronous_gc();
                let _ = SPACE.get().unwrap().verify();
            }
        });
        SPACE.set(space.build().unwrap()).unwrap();
        SPACE.get().unwrap().synchronous_gc().unwrap();
    });
}
