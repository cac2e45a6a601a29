//! Use of an arena against its close ([`CloseGate`]).
//!
//! The scene is that of `arena/memory.rs`: the memory is there until the close that succeeds frees it.

use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play, spawn};
use cspace_native::protocol::{CloseGate, NotClosed};
use std::sync::Arc;

trait Gate: Default + Send + Sync + 'static {
    fn acquire(&self) -> bool;
    fn release(&self);
    fn close(&self) -> Result<(), NotClosed>;
}

impl Gate for CloseGate {
    fn acquire(&self) -> bool {
        self.acquire()
    }
    fn release(&self) {
        self.release();
    }
    fn close(&self) -> Result<(), NotClosed> {
        self.close()
    }
}

/// The memory of an arena: not atomic in earnest, so that what is not ordered shows.
struct Arena<G> {
    gate: G,
    /// What users write and the close reads.
    written: AtomicUsize,
    is_freed: AtomicUsize,
}

fn arena<G: Gate>() -> Arc<Arena<G>> {
    let (written, is_freed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Arc::new(Arena { gate: G::default(), written, is_freed })
}

fn use_it<G: Gate>(arena: &Arena<G>) -> bool {
    let acquired = arena.gate.acquire();
    if acquired {
        assert_eq!(arena.is_freed.load(Relaxed), 0, "freed memory: it was used");
        arena.written.store(1, Relaxed);
        arena.gate.release();
    }
    acquired
}

/// P19, P20.
fn nobody_uses_what_was_closed<G: Gate>() {
    play(|| {
        let arena = arena::<G>();
        let user = {
            let arena = Arc::clone(&arena);
            spawn(move || use_it(&arena))
        };
        let closed = arena.gate.close();
        if closed.is_ok() {
            let written = arena.written.load(Relaxed);
            arena.is_freed.store(1, Relaxed);
            let used = user.join().unwrap();
            assert_eq!(
                written == 1,
                used,
                "freed memory: what a user wrote was not there at the close"
            );
        } else {
            assert_eq!(closed, Err(NotClosed::Acquired(1)));
            assert!(user.join().unwrap());
            assert_eq!(arena.gate.close(), Ok(()));
        }
        assert_eq!(arena.gate.close(), Err(NotClosed::AlreadyClosed));
        assert!(!arena.gate.acquire(), "a closed arena was acquired");
    });
}

/// P20: two close.
fn one_of_two_closes<G: Gate>() {
    play(|| {
        let arena = arena::<G>();
        let other = {
            let arena = Arc::clone(&arena);
            spawn(move || arena.gate.close().is_ok())
        };
        let mine = arena.gate.close().is_ok();
        assert!(mine != other.join().unwrap(), "not exactly one has closed it");
    });
}

#[test]
fn arenas_are_closed_when_nobody_uses_them() {
    nobody_uses_what_was_closed::<CloseGate>();
    one_of_two_closes::<CloseGate>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::Ordering;

    /// A gate of a count and a flag, which its users look at one after the other.
    #[derive(Default)]
    struct CountAndFlag {
        users: AtomicUsize,
        closed: AtomicUsize,
    }

    impl Gate for CountAndFlag {
        fn acquire(&self) -> bool {
            if self.closed.load(Ordering::Acquire) == 1 {
                return false;
            }
            self.users.fetch_add(1, Ordering::AcqRel);
            true
        }
        fn release(&self) {
            self.users.fetch_sub(1, Ordering::Release);
        }
        fn close(&self) -> Result<(), NotClosed> {
            match self.users.load(Ordering::Acquire) {
                0 if self.closed.swap(1, Ordering::AcqRel) == 0 => Ok(()),
                0 => Err(NotClosed::AlreadyClosed),
                users => Err(NotClosed::Acquired(users)),
            }
        }
    }

    #[test]
    #[should_panic(expected = "freed memory: ")]
    fn a_flag_beside_the_count_lets_users_in_after_the_close() {
        nobody_uses_what_was_closed::<CountAndFlag>();
    }

    /// A gate whose close does not acquire what users did.
    #[derive(Default)]
    struct Unordered(AtomicUsize);

    impl Gate for Unordered {
        fn acquire(&self) -> bool {
            let next = |state| (state != usize::MAX).then(|| state + 1);
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
        }
        fn release(&self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
        fn close(&self) -> Result<(), NotClosed> {
            match self.0.compare_exchange(0, usize::MAX, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => Ok(()),
                Err(usize::MAX) => Err(NotClosed::AlreadyClosed),
                Err(users) => Err(NotClosed::Acquired(users)),
            }
        }
    }

    #[test]
    #[should_panic(expected = "freed memory: what a user wrote was not there at the close")]
    fn without_an_order_the_close_does_not_see_what_users_did() {
        nobody_uses_what_was_closed::<Unordered>();
    }

    /// A gate that looks, and then closes.
    #[derive(Default)]
    struct LooksFirst(CloseGate, AtomicUsize);

    impl Gate for LooksFirst {
        fn acquire(&self) -> bool {
            self.0.acquire()
        }
        fn release(&self) {
            self.0.release();
        }
        fn close(&self) -> Result<(), NotClosed> {
            if self.1.load(Ordering::Acquire) == 1 {
                return Err(NotClosed::AlreadyClosed);
            }
            self.1.store(1, Ordering::Release);
            Ok(())
        }
    }

    #[test]
    #[should_panic(expected = "not exactly one has closed it")]
    fn looking_before_closing_lets_two_close() {
        one_of_two_closes::<LooksFirst>();
    }
}
