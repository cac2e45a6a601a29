//! The budget was computed before the sweep, from what was in use rather than alive: it grew for ever.
use cspace::*;

#[test]
#[cfg_attr(miri, ignore = "4,000 objects")]
fn the_heap_stays_within_its_budget() {
    let space = CSpace::builder().gc(GcMode::Safepoints).gc_budget_floor(1 << 20).build().unwrap();
    let keep: Vec<_> =
        space.exclusive(|cx| (0..4000).map(|_| cx.root(cx.alloc([1u8; 1024]))).collect());
    let mut lock = space.lock();
    let mut most = 0;
    while space.total_num_completed_gcs() < 12 {
        lock.scope(|cx| cx.alloc([2u8; 1024]).addr());
        most = most.max(space.memory().allocated);
        lock.safepoint();
    }
    drop(lock);
    let live = space.memory().live;
    assert!(most < live * 5 / 2, "{most} bytes in use with {live} alive");
    drop(keep);
}
