//! A panic of a collector's `runner` in the release of a finish left the space locked for ever.
use cspace::collector::{Collector, Runner};
use cspace::*;
use cspace_gc::{GcControl, GcSettings};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

use crate::within;

/// A collector of which the nth question or message from now on panics, and all after it.
struct Fails {
    inner: Arc<GcControl>,
    left: AtomicUsize,
    panicked: AtomicBool,
}

impl Fails {
    fn maybe(&self) {
        let left = self.left.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1)));
        if left == Ok(0) {
            self.panicked.store(true, SeqCst);
            std::panic::resume_unwind(Box::new("the collector's panic"));
        }
    }
}

impl Collector for Fails {
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
        self.inner.collect(space)
    }
    fn at_safepoint(&self, space: &Space) {
        self.inner.at_safepoint(space)
    }
    fn runner(&self) -> Runner {
        self.maybe();
        self.inner.runner()
    }
    fn wake(&self) {
        self.maybe();
        self.inner.wake();
    }
    fn space_gone(&self) {
        self.maybe();
        self.inner.space_gone();
    }
}

/// All that asks the collector or tells it something.
fn use_everything(space: &Space, other: &Space) {
    let root = space.exclusive(|cx| {
        (0..100).for_each(|_| drop(cx.try_alloc([0u64; 64])));
        cx.root(cx.alloc(1u64))
    });
    space.synchronous_gc().unwrap();
    space.request_gc();
    let mut lock = space.lock();
    lock.safepoint();
    lock.unlocked(|| ());
    drop(lock);
    space.transaction(|cx| cx.request_gc());
    other.exclusive(|cx| cx.alloc([0u64; 1000]).addr());
    space.transfer_from(other).unwrap();
    space.verify().unwrap();
    drop(space.ledger().try_charge(Category::Buffers, 1 << 30));
    assert_eq!(space.exclusive(|cx| *root.get(cx)), 1);
    space.synchronous_gc().unwrap();
}

/// Whether the nth question or message was one too many.
fn panics_from(nth: usize, mode: GcMode) -> bool {
    let inner = GcControl::new(GcSettings { mode, ..GcSettings::default() });
    let fails =
        Arc::new(Fails { inner, left: AtomicUsize::new(nth), panicked: AtomicBool::default() });
    let builder = Space::builder().gc_budget_floor(1 << 12).memory_limit(1 << 22);
    let space = builder.collector(fails.clone()).build().unwrap();
    let other = Space::builder().build().unwrap();
    use_everything(&space, &other);
    assert!(!space.is_inside() && !space.is_poisoned());
    std::thread::scope(|threads| {
        let lock = || space.try_lock_for(Duration::from_secs(60)).map(drop);
        assert_eq!(threads.spawn(lock).join().unwrap(), Ok(()));
    });
    drop(space);
    fails.panicked.load(SeqCst)
}

#[test]
#[cfg_attr(miri, ignore = "dozens of spaces that are collected")]
fn a_collector_that_panics_leaves_no_lock_held() {
    within(60, || {
        for mode in [GcMode::Manual, GcMode::Safepoints] {
            let places = (0..).take_while(|nth| panics_from(*nth, mode)).count();
            assert!(places > 10, "{places} with {mode:?}");
        }
    });
}
