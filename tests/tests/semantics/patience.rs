//! The finish of a collection waits for readers without stopping those that arrive.

use std::sync::mpsc::channel;
use std::thread;

use cspace::*;

use crate::watchdog::within;

/// Two readers that depend on each other: the first waits, inside, for what the second sends from inside. A finish
/// that insists lets the second in no more, and all three wait for ever.
#[test]
#[cfg_attr(miri, ignore = "1,000 rounds")]
fn readers_that_wait_for_each_other_get_through_a_collection() {
    within(|| {
        let space = CSpace::new();
        for _ in 0..20 {
            let (first_in, wait_first_in) = channel();
            let (message, wait_message) = channel();
            thread::scope(|threads| {
                let space = &space;
                threads.spawn(move || {
                    space.shared(|_| {
                        first_in.send(()).unwrap();
                        wait_message.recv().unwrap();
                    })
                });
                wait_first_in.recv().unwrap();
                let collector = threads.spawn(|| space.collect().unwrap());
                // The collector is at its finish by now, or will be; it does not get in before the first leaves.
                for _ in 0..1000 {
                    thread::yield_now();
                }
                assert!(!collector.is_finished());
                space.shared(|_| message.send(()).unwrap());
            });
        }
        assert_eq!(space.total_num_completed_gcs(), 20);
    });
}

/// A reader that stays kept readers that came later out for as long as it stayed.
#[test]
fn new_readers_come_in_while_a_finish_waits_for_an_old_one() {
    within(|| {
        let space = CSpace::new();
        let (old_in, wait_old_in) = channel();
        let (leave, wait_leave) = channel::<()>();
        thread::scope(|threads| {
            let space = &space;
            threads.spawn(move || {
                space.shared(|_| {
                    old_in.send(()).unwrap();
                    let _ = wait_leave.recv();
                })
            });
            wait_old_in.recv().unwrap();
            let collector = threads.spawn(|| space.collect().unwrap());
            for _ in 0..5 {
                // Refused without waiting: the collector is trying to get everybody out.
                while space.try_shared(|_| ()).is_ok() {
                    thread::yield_now();
                }
                space.shared(|_| ());
            }
            assert!(!collector.is_finished());
            drop(leave);
        });
    });
}

#[test]
fn readers_are_inside_while_the_collector_marks() {
    within(|| {
        let space = CSpace::new();
        let (marking, wait_marking) = channel();
        let (go_on, wait_go_on) = channel();
        let gate =
            space.exclusive(|cx| cx.root(cx.alloc(crate::roots::Gate::new(marking, wait_go_on))));
        thread::scope(|threads| {
            let collector = threads.spawn(|| space.collect().unwrap());
            wait_marking.recv().unwrap();
            assert_eq!(space.shared(|cx| cx.num_objects()), 1);
            assert!(matches!(space.try_exclusive(|_| ()), Err(LockError::WouldBlock { .. })));
            go_on.send(()).unwrap();
            collector.join().unwrap();
        });
        drop(go_on);
        drop(gate);
    });
}
