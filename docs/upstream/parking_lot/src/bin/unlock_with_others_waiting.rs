//! What was read under an upgradable lock that is given up while others wait is not ordered before the write of a
//! thread that takes the lock without having waited.
//!
//! The flags are relaxed on purpose: they order nothing, so that all order there is comes of the lock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::RwLock;

fn main() {
    let lock = &RwLock::new(0);
    let (held, tries) = (&AtomicBool::new(false), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let upgradable = lock.upgradable_read();
        held.store(true, Relaxed);
        // One that waits.
        scope.spawn(|| drop(lock.upgradable_read()));
        // One that tries until it gets the lock.
        scope.spawn(|| {
            while !held.load(Relaxed) {
                std::thread::yield_now();
            }
            loop {
                if let Some(mut writer) = lock.try_write() {
                    *writer += 1;
                    break;
                }
                tries.store(true, Relaxed);
                std::thread::yield_now();
            }
        });
        while !tries.load(Relaxed) {
            std::thread::yield_now();
        }
        // By now the first one waits. Were it not to, this program would show nothing.
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(*upgradable, 0);
        drop(upgradable);
    });
}
