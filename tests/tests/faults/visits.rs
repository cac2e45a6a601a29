//! The nth visit panics.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cspace::CollectError;

use crate::graph::{Graph, Maker, CHAIN};
use crate::trap::every_place;

#[test]
fn a_visit_that_panics_gives_the_cycle_up_and_nothing_is_lost() {
    let places = every_place(|nth| {
        let maker = Maker::new();
        let graph = Graph::new(&maker);
        let count = graph.space.num_objects();
        // Twice, as the second cycle finds what the first left.
        for _ in 0..2 {
            maker.visit.arm(nth);
            let result = graph.space.synchronous_gc();
            if maker.visit.disarm() {
                graph.assert_collected();
                return false;
            }
            assert!(matches!(result, Err(CollectError::VisitPanicked { .. })), "{result:?}");
            graph.assert_clean();
            graph.assert_nothing_dropped();
            assert_eq!(graph.space.num_objects(), count);
            assert_eq!(graph.weak_counts(), (3, 3));
        }
        assert_eq!(graph.space.stats().cycles_abandoned, 2);
        graph.assert_collects();
        true
    });
    assert!(places > 40, "only {places} places");
}

#[test]
fn a_visit_that_panics_in_verify_is_reported_and_nothing_else_happens() {
    every_place(|nth| {
        let maker = Maker::new();
        let graph = Graph::new(&maker);
        maker.visit.arm(nth);
        let report = graph.space.verify().expect("nobody is inside");
        if maker.visit.disarm() {
            assert!(report.is_clean(), "{report}");
            return false;
        }
        assert!(report.problems.iter().any(|p| p.contains("panicked")), "{report}");
        graph.assert_clean();
        graph.assert_collects();
        true
    });
}

/// What only a reader roots while the collection marks is traced later, in part by the finish, with
/// everybody locked out.
#[test]
fn a_visit_that_panics_under_a_late_root_gives_the_cycle_up() {
    let places = every_place(|nth| {
        let maker = Maker::new();
        let graph = Graph::new(&maker);
        let machine = graph.machine.as_ref().expect("not dropped yet");
        let inside = AtomicBool::new(false);
        let mut late = Vec::new();
        let result = std::thread::scope(|threads| {
            threads.spawn(|| {
                graph.space.shared(|cx| {
                    inside.store(true, SeqCst);
                    // The collector marks meanwhile, and then waits for this access to end.
                    std::thread::sleep(std::time::Duration::from_micros(300));
                    for weak in &machine.get(cx).weaks {
                        late.extend(weak.upgrade(cx).map(|object| cx.root(object)));
                    }
                });
            });
            while !inside.load(SeqCst) {
                std::thread::yield_now();
            }
            maker.visit.arm(nth);
            graph.space.synchronous_gc()
        });
        let done = maker.visit.disarm();
        assert_eq!(late.len(), 3);
        if done {
            assert!(result.is_ok());
            assert_eq!(graph.space.num_objects(), 7 * CHAIN + 3);
        } else {
            assert!(matches!(result, Err(CollectError::VisitPanicked { .. })), "{result:?}");
        }
        graph.assert_clean();
        graph.assert_nothing_dropped();
        assert_eq!(graph.weak_counts(), (3, 3));
        late.clear();
        graph.assert_collects();
        !done
    });
    assert!(places > 40, "only {places} places");
}
