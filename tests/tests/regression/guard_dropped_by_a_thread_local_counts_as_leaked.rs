//! A guard that a thread-local's destructor dropped in time made the space count as leaked for ever.
use cspace::*;
use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    static KEPT: RefCell<Option<ExclusiveGuard<'static>>> = const { RefCell::new(None) };
}

#[test]
fn a_lock_released_at_the_threads_end_is_not_leaked() {
    let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
    std::thread::spawn(move || {
        // Its destructor is registered before the first lock.
        KEPT.with(|kept| kept.borrow_mut().take());
        KEPT.with(|kept| *kept.borrow_mut() = Some(space.lock()));
    })
    .join()
    .unwrap();
    let (held, wait) = std::sync::mpsc::channel();
    let holder = std::thread::spawn(move || {
        let _lock = space.lock();
        held.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    });
    wait.recv().unwrap();
    let taken = space.try_lock_for(Duration::from_secs(5)).map(drop);
    assert_eq!(taken, Ok(()));
    holder.join().unwrap();
}
