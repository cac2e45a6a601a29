//! `verify` referred to the whole record of a span in which dead objects wait for their drops, while a drop that ended wrote
//! to a field of it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

use cspace::*;

/// Waits until it is told that it may go.
struct Waits(Arc<AtomicBool>, Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
        while !self.1.load(Relaxed) {
            thread::yield_now();
        }
    }
}

/// Miri and ThreadSanitizer see it where it is wrong.
#[test]
fn it_reads_what_nobody_writes() {
    let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
    let [begun, verified] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let _kept = space.exclusive(|cx| {
        let waits = || Static(Some(Waits(Arc::clone(&begun), Arc::clone(&verified))));
        cx.alloc(waits());
        cx.root(cx.alloc(Static(None::<Waits>)))
    });
    thread::scope(|threads| {
        threads.spawn(|| space.synchronous_gc().unwrap());
        while !begun.load(SeqCst) {
            thread::yield_now();
        }
        assert!(space.verify().unwrap().is_clean());
        // Nothing orders the drop's end after that look.
        verified.store(true, Relaxed);
    });
}
