//! Lists of evict cells had pointers made from `&EvictCell`, which do not lead to the header of the chunk, and the next
//! mark went there from them. What it read was right, and undefined; Miri tells, which must run this test now and then:
//! `cargo +nightly miri test -p cspace-tests --test regression evict_cell`.

use std::thread;
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

fn begin(space: &Space) -> MarkPhase {
    let claim = space.try_claim_cycle().expect("no cycle is under way");
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
    phase.mark().unwrap();
    phase
}

fn end(phase: MarkPhase) -> CollectReport {
    let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
    let (batch, report) = finish.condemn().unwrap();
    batch.reclaim().ok().expect("this thread holds nothing");
    report
}

#[test]
fn victims_that_wait_or_were_rescued_are_marked_from_their_own_addresses() {
    let evictor = Evictor::new();
    evictor.on_evict(|_, _| ());
    let space = Space::builder().eviction_policy(evictor.clone()).build().unwrap();
    let [left, rescued] = [1u64, 2].map(|i| space.exclusive(|cx| cx.evictable_root(cx.alloc(i))));
    evictor.set_eviction_threshold(Some(0));
    let phase = begin(&space);
    thread::scope(|scope| {
        scope.spawn(|| space.shared(|cx| assert_eq!(rescued.get(cx).map(|two| *two), Some(2))));
    });
    assert_eq!(end(phase).objects_evicted, 1);
    assert!(space.has_evicted());
    evictor.set_eviction_threshold(None);
    // Marks the one that waits for its delivery.
    assert_eq!(end(begin(&space)).objects_live, 4);
    space.shared(|cx| assert!(left.is_evicted(cx) && !rescued.is_evicted(cx)));
}
