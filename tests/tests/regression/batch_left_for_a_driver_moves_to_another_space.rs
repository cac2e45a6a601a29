//! A batch was left for the driver of its space, whose objects were then merged into another one. A collection of that
//! one waits for the batch; it hung if the driver was the one that waited.

use cspace::*;

use crate::probe::Drops;
use crate::within;

#[test]
fn whoever_waits_for_a_batch_does_it_whomever_it_was_left_for() {
    within(60, || {
        let drops = Drops::new();
        let manual = || CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let (outer, source, target) = (CSpace::new(), manual(), manual());
        // This thread is the driver, and does what its listeners may do: collect another space.
        let driver = source.gc_driver().unwrap();
        for verifies in [false, true] {
            let dropped = drops.count();
            source.exclusive(|cx| cx.alloc(drops.probe()).addr());
            outer.exclusive(|_| assert!(source.collect().unwrap().sweep_deferred));
            assert!(target.transfer_from(&source).unwrap().sweep_under_way);
            if verifies {
                assert!(target.verify().unwrap().is_clean());
            }
            target.collect().unwrap();
            assert_eq!(drops.count(), dropped + 1);
        }
        drop(driver);
    });
}
