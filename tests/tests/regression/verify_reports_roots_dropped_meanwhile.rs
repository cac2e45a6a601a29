//! `verify` looked at the roots twice, and reported those whose handles another thread dropped in between as edges
//! that `visit_objects` leaves out at times.

use cspace::*;

#[test]
#[cfg_attr(miri, ignore = "20,000 objects")]
fn roots_dropped_meanwhile_are_no_bad_edges() {
    let space = CSpace::new();
    let mut roots: Vec<GcRoot<u64>> =
        space.exclusive(|cx| (0..20_000u64).map(|i| cx.root(cx.alloc(i))).collect());
    std::thread::scope(|threads| {
        let dropping = threads.spawn(move || {
            while roots.pop().is_some() {
                std::thread::sleep(std::time::Duration::from_micros(1));
            }
        });
        while !dropping.is_finished() {
            let report = space.verify().unwrap();
            assert!(report.is_clean(), "{} edges that should not be", report.bad_edges.len());
        }
    });
}
