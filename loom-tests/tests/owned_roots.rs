//! Owned roots: the handle dropped while the collector visits the content, and while the space goes
//! ([`OwnedState`]).
//!
//! The scene is that of `owned_root.rs`: the space lists the cell; the handle's drop may come at any
//! moment, from any thread; whoever is second to let go frees the cell.

use cspace_core::protocol::OwnedState;
use cspace_core::sync::{AtomicUsize, Ordering};
use cspace_loom_tests::{play, spawn, Arc, Plain};

trait State: Send + Sync + 'static {
    fn new() -> Self;
    fn handle_dropped(&self) -> bool;
    fn space_gone(&self) -> bool;
    fn is_handle_dropped(&self) -> bool;
}

impl State for OwnedState {
    fn new() -> Self {
        OwnedState::new()
    }
    fn handle_dropped(&self) -> bool {
        self.handle_dropped()
    }
    fn space_gone(&self) -> bool {
        self.space_gone()
    }
    fn is_handle_dropped(&self) -> bool {
        self.is_handle_dropped()
    }
}

const FREED: u32 = 0;

struct Cell<S> {
    state: S,
    content: Plain,
    freed: AtomicUsize,
}

impl<S: State> Cell<S> {
    fn new() -> Arc<Self> {
        Arc::new(Cell { state: S::new(), content: Plain::new(1), freed: AtomicUsize::new(0) })
    }

    fn free(&self) {
        self.content.write(FREED);
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    /// The handle's thread: works with the content, in an access that has ended, and drops the handle.
    fn handle(&self) {
        self.content.write(2);
        if self.state.handle_dropped() {
            self.free();
        }
    }

    /// A collection: visits the content if the handle exists, with the lock that keeps the handle's
    /// accesses out; then, after the finish, frees the cell if the handle is gone. Whether it did.
    fn collect(&self) -> bool {
        let _visited = !self.state.is_handle_dropped();
        let dropped = self.state.is_handle_dropped();
        if dropped {
            self.free();
        }
        dropped
    }

    fn space_goes(&self) {
        if self.state.space_gone() {
            self.free();
        }
    }

    fn assert_freed_once(&self) {
        assert_eq!(self.freed.load(Ordering::Relaxed), 1, "the cell was not freed once");
    }
}

fn the_second_to_let_go_frees<S: State>() {
    play(|| {
        let cell = Cell::<S>::new();
        let handle = {
            let cell = Arc::clone(&cell);
            spawn(move || cell.handle())
        };
        cell.space_goes();
        handle.join().unwrap();
        cell.assert_freed_once();
    });
}

fn the_collector_frees_what_was_dropped<S: State>() {
    play(|| {
        let cell = Cell::<S>::new();
        let handle = {
            let cell = Arc::clone(&cell);
            spawn(move || cell.handle())
        };
        if !cell.collect() {
            // Still listed: the space lets go of it.
            cell.space_goes();
        }
        handle.join().unwrap();
        cell.assert_freed_once();
    });
}

/// The last collection and the end of the space are on one thread, a reader's last look at the content
/// on another: the space's own count orders them, as the one who ends it is the last.
#[test]
fn a_cell_is_freed_once_when_its_handle_and_its_space_go() {
    the_second_to_let_go_frees::<OwnedState>();
}

#[test]
fn a_cell_is_freed_once_when_its_handle_goes_during_a_collection() {
    the_collector_frees_what_was_dropped::<OwnedState>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;
    use cspace_core::sync::AtomicU8;

    const BOTH: u8 = 0;
    const HANDLE_DROPPED: u8 = 1;
    const SPACE_GONE: u8 = 2;

    /// [`OwnedState`] with the orderings of the swaps and of the look, as numbers.
    struct Weak<const SWAP: u8, const LOOK: u8>(AtomicU8);

    fn ordering(number: u8) -> Ordering {
        match number {
            0 => Ordering::Relaxed,
            1 => Ordering::Release,
            2 => Ordering::Acquire,
            _ => Ordering::AcqRel,
        }
    }

    impl<const SWAP: u8, const LOOK: u8> State for Weak<SWAP, LOOK> {
        fn new() -> Self {
            Weak(AtomicU8::new(BOTH))
        }
        fn handle_dropped(&self) -> bool {
            self.0.swap(HANDLE_DROPPED, ordering(SWAP)) == SPACE_GONE
        }
        fn space_gone(&self) -> bool {
            self.0.swap(SPACE_GONE, ordering(SWAP)) == HANDLE_DROPPED
        }
        fn is_handle_dropped(&self) -> bool {
            self.0.load(ordering(LOOK)) == HANDLE_DROPPED
        }
    }

    /// Looks, and then says that it has let go.
    struct Torn(AtomicU8);

    impl State for Torn {
        fn new() -> Self {
            Torn(AtomicU8::new(BOTH))
        }
        fn handle_dropped(&self) -> bool {
            let before = self.0.load(Ordering::SeqCst);
            self.0.store(HANDLE_DROPPED, Ordering::SeqCst);
            before == SPACE_GONE
        }
        fn space_gone(&self) -> bool {
            let before = self.0.load(Ordering::SeqCst);
            self.0.store(SPACE_GONE, Ordering::SeqCst);
            before == HANDLE_DROPPED
        }
        fn is_handle_dropped(&self) -> bool {
            self.0.load(Ordering::SeqCst) == HANDLE_DROPPED
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        the_second_to_let_go_frees::<Weak<3, 2>>();
        the_collector_frees_what_was_dropped::<Weak<3, 2>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn swaps_without_release_are_found_out() {
        the_second_to_let_go_frees::<Weak<2, 2>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn swaps_without_acquire_are_found_out() {
        the_second_to_let_go_frees::<Weak<1, 2>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_relaxed_look_by_the_collector_is_found_out() {
        the_collector_frees_what_was_dropped::<Weak<3, 0>>();
    }

    #[test]
    #[should_panic = "the cell was not freed once"]
    fn a_state_changed_in_two_steps_is_found_out() {
        the_second_to_let_go_frees::<Torn>();
    }
}
