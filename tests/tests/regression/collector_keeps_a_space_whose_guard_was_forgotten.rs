//! A driver that waited for the lock of a space kept the space. If the lock was that of a guard which somebody forgot, and the
//! last other handle went meanwhile, it waited for ever, and nothing of the space was dropped.

use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::probe::on_drop;
use crate::within;

#[test]
fn a_collector_alone_with_a_space_does_not_wait_for_its_lock() {
    within(60, || {
        let space = Space::builder().build().unwrap();
        let (dropped, is_dropped) = channel();
        space.exclusive(|cx| cx.alloc(on_drop(move || dropped.send(()).unwrap())).addr());
        // By a thread that lives on: the lock is not noted as leaked.
        let ((forgot, has_forgotten), (end, may_end)) = (channel(), channel::<()>());
        let forgetful = space.clone();
        let thread = std::thread::spawn(move || {
            std::mem::forget(forgetful.lock());
            drop(forgetful);
            forgot.send(()).unwrap();
            let _ = may_end.recv();
        });
        has_forgotten.recv().unwrap();
        let claim = space.try_claim_cycle().unwrap();
        let last = Mutex::new(Some(space));
        let go_on = || {
            drop(last.lock().unwrap().take());
            true
        };
        let begun =
            MarkPhase::begin(claim, LockWait { slice: Duration::from_millis(1), go_on: &go_on });
        assert!(matches!(begun, Err(CollectError::Lock(LockError::LockLeaked { .. }))));
        is_dropped.recv().unwrap();
        drop(end);
        thread.join().unwrap();
    });
}
