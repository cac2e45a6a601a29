//! A weak handle of a space kept the policy of its evictions, and with it the callback: one that was captured by that
//! callback kept itself.

use cspace::*;

use crate::probe::Drops;

#[test]
fn a_callback_that_has_a_weak_handle_goes_with_its_space() {
    let drops = Drops::new();
    let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let captured = (space.downgrade(), drops.probe());
    space.on_evict(move |_, _| {
        let _captured = &captured;
    });
    let weak = space.downgrade();
    assert!(weak.upgrade().is_some());
    drop(space);
    assert_eq!(drops.count(), 1);
    assert!(weak.upgrade().is_none());
}
