//! A driver that collected while its thread held another space waited for a cycle one of whose drops wanted that one.

use std::sync::mpsc::channel;

use cspace::*;

use crate::probe::on_drop;
use crate::within;

#[test]
fn a_driver_that_holds_a_space_waits_for_nobody() {
    within(60, || {
        let manual = || CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let (older, space) = (manual(), manual());
        let mut driver = space.gc_driver().unwrap();
        let (say_sweeping, is_sweeping) = channel();
        let wanted = older.clone();
        let wants = on_drop(move || {
            say_sweeping.send(()).unwrap();
            wanted.exclusive(|_| ());
        });
        space.exclusive(|cx| cx.alloc(wants).addr());
        let collects = space.clone();
        let sweeper = older.exclusive(|_| {
            let sweeper = std::thread::spawn(move || drop(collects.synchronous_gc()));
            is_sweeping.recv().unwrap();
            // The other cycle's drops keep no cycle out: this one runs, or is given up, but nobody is waited for.
            let _ = driver.try_collect();
            sweeper
        });
        sweeper.join().unwrap();
    });
}
