//! A request was taken for served when a cycle began, and forgotten when that cycle was given up because a visit had
//! panicked.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Duration;

use cspace::*;

use crate::within;

/// Its first visit panics.
struct Frail(Arc<AtomicUsize>);
impl Rootable for Frail {
    type At<'gc> = Frail;
}
// SAFETY: no handle inside.
unsafe impl<'gc> IObject<'gc> for Frail {
    type R = Frail;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        assert!(self.0.fetch_add(1, Relaxed) > 0, "the first visit panics");
    }
}

#[test]
fn a_request_outlives_a_cycle_that_is_given_up() {
    within(60, || {
        let visits = Arc::new(AtomicUsize::new(0));
        let space = CSpace::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(Frail(visits.clone()))));
        space.request_gc();
        space.wait_for_gc_after(0, Duration::from_secs(50)).unwrap();
        assert_eq!(space.stats().cycles_abandoned, 1);
        drop(root);
    });
}
