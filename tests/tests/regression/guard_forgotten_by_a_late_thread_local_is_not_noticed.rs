//! A guard that a thread-local's destructor took and forgot, after cspace's own had run, was never noticed.
use cspace::*;
use std::cell::RefCell;
use std::thread;

use crate::within;

/// Does something when its thread ends, after what was put in later.
struct AtEnd(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

macro_rules! at_end {
    ($($name:ident)*) => {
        thread_local! {
            $(static $name: AtEnd = const { AtEnd(RefCell::new(None)) };)*
        }

        /// Has each called by a destructor of its own, the last first.
        fn at_end(acts: Vec<Box<dyn FnOnce()>>) {
            let mut acts = acts.into_iter();
            $(
                if let Some(act) = acts.next() {
                    $name.with(|at_end| *at_end.0.borrow_mut() = Some(act));
                }
            )*
            assert!(acts.next().is_none());
        }
    };
}
at_end! { A B C D E F G H I J K L }

/// The destructors that run `acts` are registered before cspace's own.
fn end_of_a_thread(acts: impl FnOnce() -> Vec<Box<dyn FnOnce()>> + Send) {
    thread::scope(|threads| {
        let thread = threads.spawn(|| {
            at_end(acts());
            CSpace::new().exclusive(|_| ());
        });
        thread.join().unwrap();
    });
}

fn leaked(space: &CSpace) -> bool {
    let result = space.try_lock();
    matches!(result.map(drop), Err(LockError::LockLeaked { .. }))
}

#[test]
fn a_guard_forgotten_at_a_threads_very_end_is_noticed() {
    within(60, || {
        // More than one thread-local of cspace's own could see to.
        for count in [1, 2, 12] {
            let spaces: Vec<CSpace> = (0..count).map(|_| CSpace::new()).collect();
            end_of_a_thread(|| {
                let forget = |space: &CSpace| -> Box<dyn FnOnce()> {
                    let space: &'static CSpace = Box::leak(Box::new(space.clone()));
                    Box::new(move || std::mem::forget(space.lock()))
                };
                // The oldest is locked first.
                spaces.iter().rev().map(forget).collect()
            });
            assert!(spaces.iter().all(leaked), "of {count}");
        }
    });
}

#[test]
fn a_shared_guard_forgotten_at_a_threads_very_end_is_noticed() {
    within(60, || {
        let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
        end_of_a_thread(|| vec![Box::new(move || std::mem::forget(space.lock_shared()))]);
        assert!(leaked(space));
        assert!(space.try_lock_shared().is_ok());
    });
}

#[test]
fn a_guard_released_at_a_threads_very_end_leaves_nothing() {
    within(60, || {
        let space: &'static CSpace = Box::leak(Box::new(CSpace::new()));
        end_of_a_thread(|| {
            let lock = || -> Box<dyn FnOnce()> {
                Box::new(move || {
                    drop(space.lock());
                    drop(space.lock_shared());
                    let mut lock = space.lock();
                    lock.unlocked(|| space.exclusive(|cx| cx.alloc(1u64).addr()));
                    lock.scope(|cx| cx.alloc(1u64).addr());
                })
            };
            (0..12).map(|_| lock()).collect()
        });
        assert!(space.try_lock().is_ok());
        assert_eq!(space.num_objects(), 24);
        // Nor does a lock that somebody has count as leaked.
        let lock = space.lock();
        thread::scope(|threads| {
            let refused = threads.spawn(|| space.try_lock().map(drop)).join().unwrap();
            assert!(matches!(refused, Err(LockError::WouldBlock { .. })));
        });
        drop(lock);
    });
}

#[test]
fn a_collection_at_a_threads_very_end_leaves_nothing() {
    within(60, || {
        let space: &'static CSpace =
            Box::leak(Box::new(CSpace::builder().gc(GcMode::Manual).build().unwrap()));
        end_of_a_thread(|| {
            let collect = || -> Box<dyn FnOnce()> {
                Box::new(move || {
                    assert!(space.collect().is_ok());
                    assert!(space.verify().is_ok_and(|report| report.is_clean()));
                })
            };
            (0..12).map(|_| collect()).collect()
        });
        assert_eq!(space.total_num_completed_gcs(), 12);
        // The lock that somebody has does not count as leaked.
        let lock = space.lock();
        thread::scope(|threads| {
            let refused = threads.spawn(|| space.try_lock().map(drop)).join().unwrap();
            assert!(matches!(refused, Err(LockError::WouldBlock { .. })), "{refused:?}");
        });
        drop(lock);
    });
}
