//! `destroy` of a space that had other handles sent a driver of the embedder's away and started a thread in its place.

use cspace::*;

use crate::within;

#[test]
fn a_driver_stays_when_destroy_fails() {
    within(60, || {
        let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let other = space.clone();
        let mut driver = space.gc_driver().unwrap();
        let space = space.destroy().unwrap_err();
        space.request_gc();
        assert!(driver.wait_for_garbage_collect());
        assert!(driver.collect().is_some());
        drop(driver);
        assert!(!space.is_gc_running());
        drop(other);
    });
}
