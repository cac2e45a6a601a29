//! The collector was asked and told about an allocation while the heap was being changed: what it had counted then was
//! wrong, or panicked, and a panic of its own left a cell without an object.
use cspace::collector::{Collector, Runner};
use cspace::*;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use crate::probe::Drops;

#[derive(Default)]
struct Counting {
    space: OnceLock<WeakSpace>,
    asked: AtomicUsize,
    /// Panics from this question on.
    panics_from: OnceLock<usize>,
}

thread_local! {
    /// The objects there are, as the test knows.
    static EXPECTED: RefCell<Option<usize>> = const { RefCell::new(None) };
}

impl Counting {
    fn count(&self) {
        let asked = self.asked.fetch_add(1, SeqCst);
        let Some(space) = self.space.get().and_then(WeakSpace::upgrade) else { return };
        if let Some(expected) = EXPECTED.with_borrow(|expected| *expected) {
            let count = space.num_objects();
            // One that is too large for a cell is counted before it is made.
            assert!(count == expected || count == expected + 1, "{count}, not {expected}");
        }
        if self.panics_from.get().is_some_and(|from| asked >= *from) {
            std::panic::resume_unwind(Box::new("the collector's panic"));
        }
    }
}

impl Collector for Counting {
    fn collect(&self, space: &Space) -> Result<CollectReport, CollectError> {
        Err(CollectError::NoCollector { space: space.name().to_string() })
    }
    fn at_safepoint(&self, _: &Space) {}
    fn runner(&self) -> Runner {
        self.count();
        Runner::Driver
    }
    fn wake(&self) {
        self.count();
    }
}

fn space(limit: usize, soft: usize) -> (Space, Arc<Counting>) {
    let collector = Arc::new(Counting::default());
    let space = Space::builder()
        .collector(collector.clone())
        .max_heap_bytes(limit)
        .memory_soft_limit(soft)
        .gc_budget_floor(1 << 14)
        .build()
        .unwrap();
    collector.space.set(space.downgrade()).ok().unwrap();
    (space, collector)
}

/// Allocates until nothing fits, in all ways; returns what was made.
fn fill(space: &Space, drops: &Drops) -> usize {
    let made = space.exclusive(|cx| {
        let mut made = 0;
        let mut allocate = |one: &dyn Fn() -> bool| {
            EXPECTED.set(Some(made));
            made += usize::from(one());
            assert_eq!(cx.num_objects(), made);
        };
        for _ in 0..3 {
            allocate(&|| cx.try_alloc([0u8; 20_000]).is_ok());
            (0..300).for_each(|_| allocate(&|| cx.try_alloc(drops.probe()).is_ok()));
            allocate(&|| cx.try_alloc_slice_copy(&[0u8; 5000]).is_ok());
            (0..300).for_each(|_| allocate(&|| cx.try_alloc([0u64; 16]).is_ok()));
            allocate(&|| cx.try_alloc_slice_copy(&[0u8; 2 << 20]).is_ok());
        }
        made
    });
    EXPECTED.set(None);
    made
}

#[test]
#[cfg_attr(miri, ignore = "5,000 objects")]
fn the_collector_counts_the_objects_that_there_are() {
    for (limit, soft) in [(1 << 18, usize::MAX), (1 << 24, 1 << 15), (1 << 18, 1 << 16)] {
        let (space, collector) = space(limit, soft);
        let made = fill(&space, &Drops::new());
        assert!(collector.asked.load(SeqCst) >= 5, "{limit} {soft}");
        assert_eq!(space.num_objects(), made);
        assert!(space.verify().unwrap().is_clean());
    }
}

#[test]
#[cfg_attr(miri, ignore = "20 heaps filled to their limit")]
fn a_panic_of_the_collector_ends_there() {
    for from in 0..20 {
        let (drops, (space, collector)) = (Drops::new(), space(1 << 18, 1 << 16));
        collector.panics_from.set(from).unwrap();
        let made = fill(&space, &drops);
        assert!(collector.asked.load(SeqCst) > from);
        assert!(!space.is_poisoned() && !space.is_inside());
        assert_eq!(space.num_objects(), made);
        assert!(space.verify().unwrap().is_clean());
        drop(space);
        assert!(drops.count() > 0);
    }
}
