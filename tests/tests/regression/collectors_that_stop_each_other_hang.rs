//! Two collectors' threads each of which stopped the other's collector, in a listener, waited for each other.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cspace::*;

use crate::within;

/// Two spaces; in a collection of either a listener, once both are in theirs, does something to the other.
fn each_other(act: fn(&CSpace) -> bool) {
    let spaces: Arc<OnceLock<[CSpace; 2]>> = Arc::default();
    let (inside, acted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let space = |other: usize| {
        let (spaces, inside, acted) = (spaces.clone(), inside.clone(), acted.clone());
        let listener = move |event: &Event| {
            let Event::Collected(_) = event else { return };
            let begun = Instant::now();
            inside.fetch_add(1, Relaxed);
            while inside.load(Relaxed) < 2 && begun.elapsed() < Duration::from_secs(10) {
                std::thread::yield_now();
            }
            assert!(act(&spaces.get().unwrap()[other]));
            acted.fetch_add(1, Relaxed);
        };
        CSpace::builder().on_event(listener).build().unwrap()
    };
    let spaces = spaces.get_or_init(|| [space(1), space(0)]);
    for space in spaces {
        space.request_gc();
    }
    while acted.load(Relaxed) < 2 {
        std::thread::yield_now();
    }
    spaces.iter().for_each(|space| space.stop_gc().unwrap());
}

#[test]
fn a_collectors_thread_stops_no_other_collector() {
    within(60, || {
        each_other(|other| matches!(other.stop_gc(), Err(StopError::FromCollector { .. })))
    });
}

#[test]
fn a_collectors_thread_starts_no_other_collector() {
    // Which waits for one that is just being stopped.
    within(60, || {
        each_other(|other| matches!(other.start_gc(), Err(StartError::FromCollector { .. })))
    });
}
