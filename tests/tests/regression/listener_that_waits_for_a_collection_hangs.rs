//! A listener on the collector's thread that waited for the next collection waited for itself, and nobody could stop the
//! collector meanwhile.
use cspace::*;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::within;

type Waited = Result<u64, WaitError>;

#[derive(Default)]
struct Spaces(OnceLock<Vec<WeakCSpace>>);

/// A listener that waits for the next collection of each space, with all the time that there is.
fn listener(spaces: &Arc<Spaces>, waited: Sender<Waited>) -> impl Fn(&Event) + Send + Sync {
    let (spaces, waited) = (spaces.clone(), Mutex::new(waited));
    move |_| {
        for space in spaces.0.get().into_iter().flatten() {
            let Some(space) = space.upgrade() else { continue };
            let n = space.total_num_completed_gcs();
            let _ = waited.lock().unwrap().send(space.wait_for_gc_after(n, Duration::MAX));
        }
    }
}

fn all_refused(waited: &Receiver<Waited>, count: usize) {
    for _ in 0..count {
        let waited = waited.recv().unwrap();
        assert!(matches!(waited, Err(WaitError::FromCollector { .. })), "{waited:?}");
    }
}

/// Two spaces whose listeners wait for both.
fn two(build: impl Fn(cspace::Builder) -> cspace::Builder) -> ([CSpace; 2], Receiver<Waited>) {
    let ((send, waited), spaces) = (channel(), Arc::new(Spaces::default()));
    let made = [(); 2].map(|()| {
        build(CSpace::builder()).on_event(listener(&spaces, send.clone())).build().unwrap()
    });
    spaces.0.set(made.iter().map(CSpace::downgrade).collect()).ok().unwrap();
    (made, waited)
}

#[test]
fn a_listener_on_the_worker_does_not_wait() {
    within(60, || {
        let (spaces, waited) = two(|builder| builder);
        spaces[0].request_gc();
        all_refused(&waited, 2);
        spaces.iter().for_each(|space| space.stop_gc().unwrap());
    });
}

#[test]
fn a_listener_on_a_pools_thread_does_not_wait() {
    within(60, || {
        let pool = GcPool::new(1).unwrap();
        let (spaces, waited) = two(|builder| builder.gc_pool(&pool));
        spaces[1].request_gc();
        all_refused(&waited, 2);
        spaces.iter().for_each(|space| space.stop_gc().unwrap());
    });
}

#[test]
fn a_listener_on_a_drivers_thread_does_not_wait() {
    within(60, || {
        let (spaces, waited) = two(|builder| builder.gc(GcMode::Manual));
        let mut driver = spaces[0].gc_driver().unwrap();
        spaces[0].request_gc();
        assert!(driver.wait_for_garbage_collect());
        driver.try_collect().unwrap().unwrap();
        all_refused(&waited, 2);
        // It is no driver's in between.
        let late = spaces[0].wait_for_gc_after(1, Duration::ZERO);
        assert!(matches!(late, Err(WaitError::Timeout { .. })), "{late:?}");
    });
}

/// What a space's callbacks captured goes with its last handle, which a pool's thread may have.
#[test]
fn a_value_dropped_by_a_pools_thread_does_not_wait() {
    struct Waits(CSpace, Mutex<Sender<Waited>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let waited = self.0.wait_for_gc_after(u64::MAX, Duration::MAX);
            let _ = self.1.lock().unwrap().send(waited);
        }
    }
    within(60, || {
        let pool = GcPool::new(1).unwrap();
        let (send, waited) = channel();
        let other = CSpace::builder().gc_pool(&pool).build().unwrap();
        let waits = Waits(other, Mutex::new(send));
        let ((inside, is_inside), (go, goes)) = (channel(), channel::<()>());
        let (inside, goes) = (Mutex::new(inside), Mutex::new(goes));
        let space = CSpace::builder().gc_pool(&pool).on_event(move |_| {
            let _ = &waits;
            let _ = inside.lock().unwrap().send(());
            let _ = goes.lock().unwrap().recv();
        });
        let space = space.build().unwrap();
        space.request_gc();
        is_inside.recv().unwrap();
        // The pool's handle is the last one.
        drop(space);
        drop(go);
        all_refused(&waited, 1);
    });
}

/// Somebody else runs the next one.
#[test]
fn a_listener_of_an_explicit_collection_waits_for_the_workers() {
    within(60, || {
        let ((send, waited), cell) = (channel(), Arc::new(OnceLock::<WeakCSpace>::new()));
        let (in_listener, send) = (cell.clone(), Mutex::new(send));
        let main = std::thread::current().id();
        let listener = move |_: &Event| {
            if std::thread::current().id() != main {
                return;
            }
            let space = in_listener.get().unwrap().upgrade().unwrap();
            let n = space.total_num_completed_gcs();
            space.request_gc();
            let _ = send.lock().unwrap().send(space.wait_for_gc_after(n, Duration::from_secs(60)));
        };
        let space = CSpace::builder().on_event(listener).build().unwrap();
        cell.set(space.downgrade()).ok().unwrap();
        space.collect().unwrap();
        assert!(waited.recv().unwrap().is_ok());
    });
}
