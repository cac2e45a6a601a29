//! A reader's read is not ordered before the write of whoever upgrades with a timeout.
//!
//! The flags are relaxed on purpose: they order nothing, so that all order there is comes of the lock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{RwLock, RwLockUpgradableReadGuard};

fn main() {
    let lock = &RwLock::new(0);
    let (held, left) = (&AtomicBool::new(false), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !held.load(Relaxed) {
                std::thread::yield_now();
            }
            let reader = lock.read();
            assert_eq!(*reader, 0);
            drop(reader);
            left.store(true, Relaxed);
        });
        let upgradable = lock.upgradable_read();
        held.store(true, Relaxed);
        while !left.load(Relaxed) {
            std::thread::yield_now();
        }
        // The reader has left: the upgrade takes the way on which nobody is waited for.
        match RwLockUpgradableReadGuard::try_upgrade_for(upgradable, Duration::from_secs(1)) {
            Ok(mut writer) => *writer = 1,
            Err(_) => unreachable!("nobody else holds the lock"),
        }
    });
}
