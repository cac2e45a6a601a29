//! Guards that are forgotten, on threads that end and on threads that go on.

use std::mem::forget;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{CSpace, CollectError, LockError, LockMode, Static};

use crate::one_space::wait_until_gone;
use crate::things::Chaos;
use crate::{seed, watched};

const PATIENCE: Duration = Duration::from_secs(30);

fn filled(
    chaos: &Arc<Chaos>,
) -> (CSpace, cspace::GcRoot<cspace::Rootable![Static<crate::things::Life>]>) {
    let space = CSpace::builder().poison_freed(true).build().expect("valid");
    let root = space.exclusive(|cx| {
        cx.alloc(Static(chaos.life()));
        cx.root(cx.alloc(Static(chaos.life())))
    });
    (space, root)
}

#[test]
fn a_guard_forgotten_by_a_thread_that_ends_gives_errors_and_no_wait() {
    let seed = seed("a_guard_forgotten_by_a_thread_that_ends_gives_errors_and_no_wait");
    watched(|| {
        let other = CSpace::new();
        let chaos = Chaos::new(seed, other.downgrade(), 0, 0);
        for mode in [LockMode::Exclusive, LockMode::Transaction] {
            let (space, root) = filled(&chaos);
            std::thread::scope(|threads| {
                threads.spawn(|| forget(space.lock_mode(mode)));
                // Waits for the lock, and hears of the end of the one who has it.
                let waiting = threads.spawn(|| {
                    let begun = Instant::now();
                    while begun.elapsed() < PATIENCE {
                        match space.try_lock_for(PATIENCE) {
                            Ok(_) => std::thread::yield_now(),
                            Err(error) => return Some(error),
                        }
                    }
                    None
                });
                let error = waiting.join().expect("the waiting thread does not panic");
                assert!(matches!(error, Some(LockError::LockLeaked { .. })), "{error:?}");
            });
            assert!(matches!(space.try_lock_shared(), Err(LockError::LockLeaked { .. })));
            let collected = space.synchronous_gc();
            let leaked = matches!(collected, Err(CollectError::Lock(LockError::LockLeaked { .. })));
            assert!(leaked, "{collected:?}");
            assert!(space.verify().is_err());
            assert!(space.num_objects() >= 2);
            // The handle of an object still is one, and the space can go.
            drop(root.clone());
            drop(space);
            drop(root);
        }
        wait_until_gone(&other, &chaos);
    });
}

#[test]
fn a_shared_guard_forgotten_by_a_thread_that_ends_lets_readers_read() {
    let seed = seed("a_shared_guard_forgotten_by_a_thread_that_ends_lets_readers_read");
    watched(|| {
        let other = CSpace::new();
        let chaos = Chaos::new(seed, other.downgrade(), 0, 0);
        let (space, root) = filled(&chaos);
        std::thread::scope(|threads| {
            threads.spawn(|| forget(space.lock_shared()));
        });
        let begun = Instant::now();
        let error = loop {
            space.shared(|cx| root.get(cx).assert_alive());
            match space.try_lock_for(Duration::from_millis(1)) {
                Err(LockError::LockLeaked { .. }) => {
                    break LockError::LockLeaked { space: String::new() }
                }
                Err(LockError::Timeout { .. }) if begun.elapsed() < PATIENCE => {}
                Err(error) => break error,
                Ok(_) => panic!("the lock is leaked and was taken"),
            }
        };
        assert!(matches!(error, LockError::LockLeaked { .. }), "{error:?}");
        // A collection cannot get everybody out; it gives up, and readers still read.
        let collected = space.synchronous_gc();
        let leaked = matches!(collected, Err(CollectError::Lock(LockError::LockLeaked { .. })));
        assert!(leaked, "{collected:?}");
        space.shared(|cx| root.get(cx).assert_alive());
        drop(space);
        drop(root);
        wait_until_gone(&other, &chaos);
    });
}

#[test]
fn a_guard_forgotten_by_a_thread_that_goes_on_is_an_error_for_that_thread() {
    let seed = seed("a_guard_forgotten_by_a_thread_that_goes_on_is_an_error_for_that_thread");
    watched(|| {
        let other = CSpace::new();
        let chaos = Chaos::new(seed, other.downgrade(), 0, 0);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let (space, root) = filled(&chaos);
                forget(space.lock());
                assert!(matches!(space.try_lock(), Err(LockError::Reentry { .. })));
                let inside = space.synchronous_gc();
                assert!(matches!(inside, Err(CollectError::InsideAccess { .. })), "{inside:?}");
                // Others wait and may give up.
                let timeout = Duration::from_millis(5);
                std::thread::scope(|threads| {
                    threads.spawn(|| {
                        let waited = space.try_lock_for(timeout).map(drop);
                        assert!(matches!(waited, Err(LockError::Timeout { .. })), "{waited:?}");
                    });
                });
                // Other spaces work, their sweeps done by other threads.
                let (second, second_root) = filled(&chaos);
                drop(second_root);
                let report = second.synchronous_gc().expect("another space is held, not this one");
                assert!(report.sweep_deferred);
                drop((second, space, root));
            });
        });
        wait_until_gone(&other, &chaos);
    });
}
