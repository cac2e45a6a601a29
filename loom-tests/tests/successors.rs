//! A handle is used while its space is merged into another one, and while that one's cycle forgets the merge
//! ([`Successors`]).
//!
//! The scene is that of `home.rs`: a handle names its home by a number; a merge makes that number follow another; the
//! cycle after it gives the handle the last number, and then forgets what followed.

use cspace_core::protocol::Successors;
use cspace_core::sync::{AtomicU64, Ordering::Relaxed};
use cspace_loom_tests::{play, spawn, Arc};

const SOURCE: u64 = 1;
const TARGET: u64 = 2;
const LATER: u64 = 3;

trait Numbers: Send + Sync + 'static {
    fn new() -> Self;
    fn follow(&self, number: u64, to: u64);
    fn resolve(&self, handle: &AtomicU64) -> u64;
    fn forget(&self, number: u64);
}

impl Numbers for Successors {
    fn new() -> Self {
        Successors::default()
    }
    fn follow(&self, number: u64, to: u64) {
        self.follow(number, to);
    }
    fn resolve(&self, handle: &AtomicU64) -> u64 {
        self.resolve(handle)
    }
    fn forget(&self, number: u64) {
        self.forget(&mut vec![number]);
    }
}

/// The cycle after a merge of the source into the target.
fn cycle<N: Numbers>(numbers: &N, handle: &AtomicU64, in_order: bool) {
    if in_order {
        handle.store(TARGET, Relaxed);
        numbers.forget(SOURCE);
    } else {
        numbers.forget(SOURCE);
        handle.store(TARGET, Relaxed);
    }
}

/// P27: a handle of the source is used in an access to the target, beside a mark.
fn a_merged_handle_is_found_beside_a_cycle<N: Numbers>(in_order: bool) {
    play(move || {
        let shared = Arc::new((N::new(), AtomicU64::new(SOURCE)));
        shared.0.follow(SOURCE, TARGET);
        let reader = {
            let shared = Arc::clone(&shared);
            spawn(move || shared.0.resolve(&shared.1))
        };
        cycle(&shared.0, &shared.1, in_order);
        assert_eq!(reader.join().unwrap(), TARGET, "not found");
        assert_eq!(shared.1.load(Relaxed), TARGET, "a handle was lost");
    });
}

/// P27, P28: somebody tries the handle in an access to a third space, at any moment; then the target is merged too.
fn a_handle_that_is_tried_elsewhere_is_not_lost<N: Numbers>() {
    play(|| {
        let shared = Arc::new((N::new(), AtomicU64::new(SOURCE)));
        let stranger = {
            let shared = Arc::clone(&shared);
            spawn(move || {
                let number = shared.0.resolve(&shared.1);
                assert!((SOURCE..=LATER).contains(&number));
            })
        };
        shared.0.follow(SOURCE, TARGET);
        cycle(&shared.0, &shared.1, true);
        shared.0.follow(TARGET, LATER);
        assert_eq!(shared.0.resolve(&shared.1), LATER, "a handle was lost");
        stranger.join().unwrap();
        assert_eq!(shared.0.resolve(&shared.1), LATER, "a handle was lost");
    });
}

#[test]
fn handles_find_their_homes() {
    a_merged_handle_is_found_beside_a_cycle::<Successors>(true);
    a_handle_that_is_tried_elsewhere_is_not_lost::<Successors>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::Mutex;
    use std::collections::HashMap;

    #[test]
    #[should_panic(expected = "not found")]
    fn forgetting_before_the_handles_know_is_found_out() {
        a_merged_handle_is_found_beside_a_cycle::<Successors>(false);
    }

    /// Looks at the handle before it has the mutex.
    struct LooksFirst(Mutex<HashMap<u64, u64>>);

    impl Numbers for LooksFirst {
        fn new() -> Self {
            LooksFirst(Mutex::new(HashMap::new()))
        }
        fn follow(&self, number: u64, to: u64) {
            self.0.lock().insert(number, to);
        }
        fn resolve(&self, handle: &AtomicU64) -> u64 {
            let mut number = handle.load(Relaxed);
            let next = self.0.lock();
            while let Some(following) = next.get(&number) {
                number = *following;
            }
            handle.store(number, Relaxed);
            number
        }
        fn forget(&self, number: u64) {
            self.0.lock().remove(&number);
        }
    }

    #[test]
    #[should_panic(expected = "not found")]
    fn a_number_read_without_the_mutex_leads_nowhere() {
        a_merged_handle_is_found_beside_a_cycle::<LooksFirst>(true);
    }

    #[test]
    #[should_panic(expected = "a handle was lost")]
    fn a_number_read_without_the_mutex_is_written_back() {
        a_handle_that_is_tried_elsewhere_is_not_lost::<LooksFirst>();
    }
}
