//! A collection waited for ever for a reader whose thread had ended without releasing the lock.
use cspace::*;

#[test]
fn a_collection_beside_a_leaked_shared_lock_fails() {
    super::within(20, || {
        let space = CSpace::new();
        let leaking = space.clone();
        std::thread::spawn(move || std::mem::forget(leaking.lock_shared())).join().unwrap();
        assert!(matches!(
            space.synchronous_gc(),
            Err(CollectError::Lock(LockError::LockLeaked { .. }))
        ));
    });
}
