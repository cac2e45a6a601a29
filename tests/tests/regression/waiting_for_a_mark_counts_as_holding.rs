//! A thread that waited for the lock to mark counted as inside of the space while the collector's `go_on` ran: what it
//! had counted read the heap beside a writer, and after a panic of `go_on` it counted as inside for ever.
use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;
use cspace_gc::MarkSweep;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::within;

/// Has `go_on` called, as often as it says, by a thread that waits to mark a space that another thread holds.
fn waiting(space: &Space, go_on: impl Fn() -> bool + Sync) -> Result<(), CollectError> {
    let lock = space.lock();
    let result = std::thread::scope(|threads| {
        let marker = threads.spawn(|| {
            let claim = space.try_claim_cycle().unwrap();
            let wait = LockWait { slice: Duration::from_millis(1), go_on: &go_on };
            let begun = catch_unwind(AssertUnwindSafe(|| MarkPhase::begin(claim, wait).map(drop)));
            assert!(!space.is_inside());
            assert!(matches!(space.try_lock(), Err(LockError::WouldBlock { .. })));
            begun
        });
        marker.join().unwrap()
    });
    drop(lock);
    assert!(space.try_lock_for(Duration::from_secs(60)).is_ok());
    assert!(space.try_claim_cycle().is_some(), "the claim was given up");
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

fn space() -> Space {
    Space::builder().build().unwrap()
}

#[test]
fn a_thread_that_is_asked_whether_to_go_on_is_not_inside() {
    within(60, || {
        let (space, into, from) = (space(), space(), space());
        let busy = waiting(&space, || {
            assert!(!space.is_inside());
            assert!(matches!(space.try_lock(), Err(LockError::WouldBlock { .. })));
            assert_eq!(space.num_objects(), 0);
            into.transfer_from(&from).expect("it holds no space");
            false
        });
        assert!(matches!(busy, Err(CollectError::Busy { .. })), "{busy:?}");
    });
}

#[test]
fn a_panic_of_go_on_gives_the_cycle_up() {
    within(60, || {
        let space = space();
        let ran = catch_unwind(AssertUnwindSafe(|| waiting(&space, || panic!("no"))));
        assert_eq!(*ran.unwrap_err().downcast_ref::<&str>().unwrap(), "no");
        assert_eq!(space.try_lock_for(Duration::from_secs(60)).map(drop), Ok(()));
    });
}

#[test]
fn to_collect_in_go_on_is_an_error_at_once() {
    within(60, || {
        let space = Space::builder().collector(MarkSweep::new()).build().unwrap();
        let busy = waiting(&space, || {
            assert!(matches!(space.synchronous_gc(), Err(CollectError::InSweep { .. })));
            assert!(matches!(space.verify(), Err(CollectError::Busy { .. })));
            let waited = space.wait_for_gc_after(0, Duration::MAX);
            assert!(matches!(waited, Err(WaitError::InSweep { .. })));
            false
        });
        assert!(matches!(busy, Err(CollectError::Busy { .. })), "{busy:?}");
    });
}

/// The lock that it waits for is its own by then.
#[test]
fn a_guard_that_go_on_forgets_ends_the_wait() {
    within(60, || {
        let space: &'static Space = Box::leak(Box::new(space()));
        let lock = space.lock();
        let (asked, was_asked) = channel();
        std::thread::scope(|threads| {
            let marker = threads.spawn(move || {
                let claim = space.try_claim_cycle().unwrap();
                let go_on = || {
                    asked.send(()).unwrap();
                    std::mem::forget(space.lock());
                    true
                };
                let wait = LockWait { slice: Duration::from_millis(1), go_on: &go_on };
                MarkPhase::begin(claim, wait).map(drop)
            });
            was_asked.recv().unwrap();
            drop(lock);
            let inside = marker.join().unwrap();
            assert!(matches!(inside, Err(CollectError::InsideAccess { .. })), "{inside:?}");
        });
    });
}
