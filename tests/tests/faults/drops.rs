//! The nth drop panics.

use std::panic::{catch_unwind, AssertUnwindSafe};

use cspace::{CSpace, Static};

use crate::graph::{Graph, Maker};
use crate::tracker::DropLog;
use crate::trap::{every_place, Bomb, Trap};

#[test]
fn a_drop_that_panics_in_a_sweep_leaves_the_others_alone() {
    let places = every_place(|nth| {
        let maker = Maker::new();
        let graph = Graph::new(&maker);
        maker.drop.arm(nth);
        let report = graph.space.synchronous_gc().expect("a drop's panic does not fail a cycle");
        let done = maker.drop.disarm();
        assert_eq!(report.drop_panics, usize::from(!done));
        assert_eq!(graph.space.stats().drop_panics, u64::from(!done));
        graph.assert_collected();
        graph.assert_collects();
        drop(graph);
        assert_eq!(maker.log.not_once(), None);
        !done
    });
    assert!(places > 10, "only {places} places");
}

#[test]
fn a_drop_that_panics_in_an_owned_value_leaves_the_others_alone() {
    let places = every_place(|nth| {
        let maker = Maker::new();
        let mut graph = Graph::new(&maker);
        graph.machine = None;
        graph.root = None;
        graph.assert_nothing_dropped();
        maker.drop.arm(nth);
        let report = graph.space.synchronous_gc().expect("a drop's panic does not fail a cycle");
        let done = maker.drop.disarm();
        assert_eq!(report.drop_panics, usize::from(!done));
        graph.assert_clean();
        drop(graph);
        assert_eq!(maker.log.not_once(), None);
        !done
    });
    assert!(places > 30, "only {places} places");
}

#[test]
fn a_drop_that_panics_while_a_space_is_destroyed_leaves_the_others_alone() {
    for order in 0..4 {
        every_place(|nth| {
            let maker = Maker::new();
            let other = CSpace::new();
            let Graph { space, root, machine, .. } = Graph::new(&maker);
            maker.drop.arm(nth);
            match order {
                0 => {
                    drop((root, machine));
                    drop(space);
                }
                1 => other.exclusive(|_| {
                    drop((root, machine));
                    drop(space);
                }),
                2 => {
                    other.exclusive(|_| {
                        space.synchronous_gc().expect("no visit panics");
                        drop(space);
                    });
                    // What the handle owns is dropped here, and its panic is this thread's.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(machine)));
                    drop(root);
                }
                _ => {
                    drop(space);
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(machine)));
                    drop(root);
                }
            }
            let done = maker.drop.disarm();
            wait_for_drops(&maker.log);
            !done
        });
    }
}

/// Another test's thread may have taken over what waited for a thread that holds nothing.
fn wait_for_drops(log: &DropLog) {
    let begun = std::time::Instant::now();
    while let Some((tracker, drops)) = log.not_once() {
        assert!(drops <= 1, "tracker {tracker} was dropped {drops} times");
        assert!(begun.elapsed().as_secs() < 20, "tracker {tracker} was not dropped");
        std::thread::yield_now();
    }
}

/// A value whose drop panics with a payload whose drop panics.
struct Grudge(Trap);

impl Drop for Grudge {
    fn drop(&mut self) {
        self.0.spring_with(|| Box::new(Bomb));
    }
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_is_survived() {
    let places = every_place(|nth| {
        let trap = Trap::default();
        let log = DropLog::new(16);
        let space = CSpace::new();
        space.exclusive(|cx| {
            for _ in 0..5 {
                cx.alloc((Static(Grudge(trap.clone())), Static(log.tracker())));
            }
        });
        trap.arm(nth);
        let report = space.synchronous_gc().expect("a drop's panic does not fail a cycle");
        let done = trap.disarm();
        assert_eq!(report.drop_panics, usize::from(!done));
        assert!(space.verify().expect("nobody is inside").is_clean());
        assert_eq!(log.not_once(), None);
        !done
    });
    assert_eq!(places, 5);
}
