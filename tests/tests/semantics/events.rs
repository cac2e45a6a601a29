//! What a space tells its listeners.

use std::sync::{Arc, Mutex};

use cspace::*;

use crate::probe::on_drop;
use crate::watchdog::within;

type Log = Arc<Mutex<Vec<Event>>>;

fn logged() -> (CSpace, Log) {
    let log = Log::default();
    let events = log.clone();
    let space = CSpace::builder()
        .on_event(move |event| events.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    (space, log)
}

#[test]
fn a_collection_is_told_with_its_report() {
    let (space, log) = logged();
    let report = space.collect().unwrap();
    let events = log.lock().unwrap();
    assert!(matches!(&events[..], [Event::Collected(told)] if *told == report), "{events:?}");
}

#[test]
fn drops_that_panic_are_told_before_the_collection() {
    let (space, log) = logged();
    space.exclusive(|cx| {
        cx.alloc(on_drop(|| panic!("first")));
        cx.alloc(on_drop(|| panic!("{}", "second".to_string())));
    });
    space.collect().unwrap();
    let events = log.lock().unwrap();
    let [Event::DropPanicked { message: a }, Event::DropPanicked { message: b }, Event::Collected(report)] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((a.as_str(), b.as_str(), report.drop_panics), ("first", "second", 2));
}

#[test]
fn all_listeners_are_told_even_if_one_panics() {
    let (first, last) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (in_first, in_last) = (first.clone(), last.clone());
    let space = CSpace::builder()
        .on_event(move |_| *in_first.lock().unwrap() += 1)
        .on_event(|_| panic!("not listening"))
        .on_event(move |_| *in_last.lock().unwrap() += 1)
        .build()
        .unwrap();
    space.collect().unwrap();
    assert_eq!((*first.lock().unwrap(), *last.lock().unwrap()), (1, 1));
}

/// User code was called with the collector's mutex held.
#[test]
fn a_listener_uses_the_space_and_collects() {
    within(|| {
        let handle = Arc::new(Mutex::new(None::<WeakCSpace>));
        let in_listener = handle.clone();
        let calls = Arc::new(Mutex::new(0));
        let counter = calls.clone();
        let space = CSpace::builder()
            .on_event(move |_| {
                let space = in_listener.lock().unwrap().as_ref().unwrap().upgrade().unwrap();
                space.exclusive(|cx| cx.alloc(1u64).addr());
                let first = {
                    let mut calls = counter.lock().unwrap();
                    *calls += 1;
                    *calls == 1
                };
                if first {
                    assert_eq!(space.collect().unwrap().objects_reclaimed, 1);
                }
            })
            .build()
            .unwrap();
        *handle.lock().unwrap() = Some(space.downgrade());
        space.collect().unwrap();
        assert_eq!((*calls.lock().unwrap(), space.total_num_completed_gcs()), (2, 2));
    });
}

/// What a listener threw was dropped outside of the catch.
#[test]
fn a_listener_whose_panic_panics_again_is_not_the_collectors_business() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let space = CSpace::builder().on_event(|_| std::panic::panic_any(Bomb)).build().unwrap();
    space.exclusive(|cx| cx.alloc(1u64).addr());
    assert_eq!(space.collect().unwrap().objects_reclaimed, 1);
}
