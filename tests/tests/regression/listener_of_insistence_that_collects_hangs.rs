//! `Event::Insisting` was told while the cycle was still claimed: a listener that collected waited for itself.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cspace::*;

#[test]
fn a_listener_of_insistence_may_collect() {
    super::within(60, || {
        let this: Arc<OnceLock<WeakCSpace>> = Arc::default();
        let (found, once) = (this.clone(), AtomicBool::new(false));
        let space = CSpace::builder()
            .gc(GcMode::Manual)
            .gc_patience(Patience { debt: Duration::ZERO, ..Patience::default() })
            .on_event(move |event| {
                if matches!(event, Event::Insisting { .. }) && !once.swap(true, Relaxed) {
                    found.get().unwrap().upgrade().unwrap().synchronous_gc().unwrap();
                }
            })
            .build()
            .unwrap();
        this.set(space.downgrade()).unwrap();
        space.synchronous_gc().unwrap();
        assert_eq!(space.total_num_completed_gcs(), 2);
    });
}
