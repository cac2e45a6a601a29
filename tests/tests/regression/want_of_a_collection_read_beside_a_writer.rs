//! A flag of the heap was read without the lock while the mutator wrote it. Fails under a race detector.
use cspace::collector::ForCollectors;
use cspace::*;

#[test]
fn asking_whether_a_collection_is_wanted_races_with_nothing() {
    let space = CSpace::builder().gc_budget_floor(1).build().unwrap();
    let asking = space.clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..20 {
            let _ = asking.wants_collection();
            std::thread::yield_now();
        }
    });
    for _ in 0..10 {
        space.exclusive(|cx| {
            for _ in 0..10 {
                cx.alloc([0u8; 600]);
            }
        });
    }
    thread.join().unwrap();
}
