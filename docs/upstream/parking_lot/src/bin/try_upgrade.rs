//! A reader's read is not ordered before the write of whoever upgrades by `try_upgrade`, where its first
//! compare-and-swap fails without a reason, as a weak one may (on AArch64 without LSE, on RISC-V).
//!
//! The flags are relaxed on purpose: they order nothing, so that all order there is comes of the lock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
        // The reader has left: nobody is in the way.
        match RwLockUpgradableReadGuard::try_upgrade(upgradable) {
            Ok(mut writer) => *writer = 1,
            Err(_) => unreachable!("nobody else holds the lock"),
        }
    });
}
