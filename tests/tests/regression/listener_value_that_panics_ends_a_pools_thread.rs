//! A value that a listener had captured panicked when its space went on a thread of a pool: the thread ended, and the
//! pool's other spaces were not served any more. On a thread that reclaimed, the batch was counted twice.

use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::Duration;

use cspace::*;

use crate::probe::on_drop;
use crate::within;

#[test]
fn the_pool_goes_on() {
    within(60, || {
        let pool = GcPool::new(1).unwrap();
        let (say_told, is_told) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let bomb = on_drop(|| panic!("a listener's value panics"));
        let (say_told, may_go_on) = (Mutex::new(say_told), Mutex::new(may_go_on));
        let listener = move |_: &Event| {
            let _captured = &bomb;
            say_told.lock().unwrap().send(()).unwrap();
            let _ = may_go_on.lock().unwrap().recv();
        };
        let goes = CSpace::builder().gc_pool(&pool).on_event(listener).build().unwrap();
        let stays = CSpace::builder().gc_pool(&pool).build().unwrap();
        goes.request_gc();
        is_told.recv().unwrap();
        // The last handle is the pool's, whose thread is in the listener.
        drop(goes);
        go_on.send(()).unwrap();
        let n = stays.total_num_completed_gcs();
        stays.request_gc();
        stays.wait_for_gc_after(n, Duration::from_secs(50)).unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "an object of 100,000 bytes")]
fn counts_are_settled_once() {
    let bomb = on_drop(|| panic!("a listener's value panics"));
    let manual = || CSpace::builder().gc(GcMode::Manual);
    let (outer, source) = (manual().build().unwrap(), manual().build().unwrap());
    let target = manual().on_event(move |_| _ = &bomb).build().unwrap();
    let root = source.exclusive(|cx| cx.root(cx.alloc_slice_copy(&[0u8; 100_000])));
    // The batch that is left keeps the target alive, which goes when it is reclaimed.
    outer.exclusive(|_| {
        assert!(source.synchronous_gc().unwrap().sweep_deferred);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                target.transfer_from(&source).unwrap();
                drop(target);
            });
        });
    });
    drop(root);
    assert_eq!(source.memory().live, 0);
}
