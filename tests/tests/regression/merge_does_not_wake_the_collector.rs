//! A collector that slept until something was allocated was not woken by what a merge brought.

use std::time::Duration;

use cspace::*;

use crate::probe::Drops;
use crate::within;

#[test]
fn what_a_merge_brings_is_collected() {
    within(60, || {
        let target = CSpace::builder().gc_period(Duration::from_millis(1)).build().unwrap();
        let source = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        // It has nothing to do, and falls asleep.
        std::thread::sleep(Duration::from_millis(50));
        let drops = Drops::new();
        source.exclusive(|cx| {
            cx.alloc(drops.probe());
            cx.alloc_slice_copy(&[0u8; 600 << 10]);
        });
        target.transfer_from(&source).unwrap();
        target.wait_for_gc_after(0, Duration::from_secs(50)).unwrap();
        assert_eq!(drops.count(), 1);
    });
}
