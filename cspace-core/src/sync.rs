//! The one concurrency seam: protocols take their atomics and locks from here, and nowhere else chooses.
//!
//! Built with `--cfg cspace_loom`, the small protocol structures ([`crate::protocol`] and those of
//! `cspace-gc`) run on loom's, so that `loom-tests` can try every interleaving. Everything else uses
//! `core::sync::atomic` under the space's lock, where there is nothing to interleave.

#[cfg(not(cspace_loom))]
pub use core::sync::atomic::{fence, AtomicBool, AtomicU64, AtomicU8, AtomicUsize, Ordering};
#[cfg(cspace_loom)]
pub use loom::sync::atomic::{fence, AtomicBool, AtomicU64, AtomicU8, AtomicUsize, Ordering};
#[cfg(not(cspace_loom))]
pub use parking_lot::{Condvar, Mutex, MutexGuard};

#[cfg(cspace_loom)]
pub use locks::{Condvar, Mutex, MutexGuard};

/// Loom's locks in the form of `parking_lot`'s.
#[cfg(cspace_loom)]
mod locks {
    use core::ops::{Deref, DerefMut};
    use std::time::{Duration, Instant};

    /// A mutex.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    /// A mutex that is held.
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        /// A mutex around a value.
        pub fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        /// Takes the mutex.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect("loom's mutexes are not poisoned")))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().expect("taken only while waiting")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("taken only while waiting")
        }
    }

    /// A condition. Under loom no time passes: a wait ends when it is notified, and a lost
    /// notification is a deadlock that loom reports.
    #[derive(Debug)]
    pub struct Condvar(loom::sync::Condvar);

    impl Default for Condvar {
        fn default() -> Self {
            Condvar(loom::sync::Condvar::new())
        }
    }

    /// How a wait ended.
    #[derive(Debug, Clone, Copy)]
    pub struct WaitTimeoutResult(());

    impl WaitTimeoutResult {
        /// Never, under loom.
        pub fn timed_out(self) -> bool {
            false
        }
    }

    impl Condvar {
        /// Waits to be notified.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect("held by the caller");
            guard.0 = Some(self.0.wait(held).expect("loom's mutexes are not poisoned"));
        }

        /// Waits to be notified.
        pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> WaitTimeoutResult {
            self.wait(guard);
            WaitTimeoutResult(())
        }

        /// Waits to be notified.
        pub fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _: Instant,
        ) -> WaitTimeoutResult {
            self.wait(guard);
            WaitTimeoutResult(())
        }

        /// Wakes all that wait.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Wakes one that waits.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }
    }
}
