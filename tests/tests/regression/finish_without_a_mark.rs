//! A phase driven by hand could be finished without having marked, or after the mark had failed: safe code got reachable
//! objects reclaimed.

use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::watchdog::panic_of;

fn begin(space: &Space) -> MarkPhase {
    MarkPhase::begin(space.try_claim_cycle().unwrap(), LockWait::FOREVER).unwrap()
}

struct Frail;
impl Rootable for Frail {
    type At<'gc> = Frail;
}
// SAFETY: no handle inside.
unsafe impl<'gc> IObject<'gc> for Frail {
    type R = Frail;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        panic!("a visit panics");
    }
}

#[test]
fn only_what_was_marked_is_finished() {
    let space = Space::builder().poison_freed(true).build().unwrap();
    let root = space.exclusive(|cx| cx.root(cx.alloc("kept".to_string())));
    let message = panic_of(|| drop(begin(&space).try_finish(Duration::from_secs(60))));
    assert!(message.contains("call `mark` first"), "{message}");
    let message = panic_of(|| drop(begin(&space).drain_late()));
    assert!(message.contains("call `mark` first"), "{message}");
    let message = panic_of(|| {
        let mut phase = begin(&space);
        phase.mark().unwrap();
        drop(phase.mark());
    });
    assert!(message.contains("a cycle marks once"), "{message}");
    assert_eq!(space.shared(|cx| root.get(cx).len()), 4);
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn a_mark_that_failed_is_not_finished() {
    let space = Space::builder().poison_freed(true).build().unwrap();
    let inner = space.exclusive(|cx| cx.root(cx.alloc((cx.alloc("kept".to_string()), 1u64))));
    let frail = space.exclusive(|cx| cx.root(cx.alloc(Frail)));
    let mut phase = begin(&space);
    assert!(matches!(phase.mark(), Err(CollectError::VisitPanicked { .. })));
    let message = panic_of(|| drop(phase.try_finish(Duration::from_secs(60))));
    assert!(message.contains("the mark failed"), "{message}");
    drop(frail);
    assert_eq!(space.shared(|cx| inner.get(cx).0.len()), 4);
}
