//! `cycles_abandoned`, which counts panics, counted every cycle that was given up.

use cspace::*;

#[test]
fn a_space_that_is_held_abandons_nothing() {
    let manual = || CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let (older, space) = (manual(), manual());
    let guard = space.lock();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let collected = older.exclusive(|_| space.synchronous_gc());
            assert!(matches!(collected, Err(CollectError::Busy { .. })));
        });
    });
    drop(guard);
    assert_eq!(space.stats().cycles_abandoned, 0);
}
