//! `verify` released the lock with its claim still held, and did what had been left for a thread that holds nothing. A
//! listener in that which collected the verified space waited for this very thread.

use std::sync::{Arc, OnceLock};
use std::thread;

use cspace::*;

use crate::probe::Drops;
use crate::within;

#[test]
fn left_work_waits_until_verify_has_given_up_its_claim() {
    within(60, || {
        let (drops, verified) = (Drops::new(), Arc::new(OnceLock::<CSpace>::new()));
        let manual = || CSpace::builder().gc(GcMode::Manual);
        let (outer, target) = (manual().build().unwrap(), manual().build().unwrap());
        let collects = Arc::clone(&verified);
        let left = manual().on_event(move |event| {
            if let (Event::Collected(_), Some(space)) = (event, collects.get()) {
                space.synchronous_gc().unwrap();
            }
        });
        let left = left.build().unwrap();
        left.exclusive(|cx| cx.alloc(drops.probe()).addr());
        assert!(verified.set(target.clone()).is_ok());
        // A thread that ends leaves its batch for anybody.
        thread::spawn(move || {
            let guard = outer.lock();
            assert!(left.synchronous_gc().unwrap().sweep_deferred);
            std::mem::forget(guard);
        })
        .join()
        .unwrap();
        assert!(target.verify().unwrap().is_clean());
        assert_eq!(drops.count(), 1);
        assert_eq!(target.total_num_completed_gcs(), 1);
    });
}
