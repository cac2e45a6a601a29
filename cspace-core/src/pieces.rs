//! Pieces of user code: where one ends on a thread and the next begins.
//!
//! A cleaner, the drop of an owned value, the drops of a span and the call of a listener are a piece each. Who wants to know
//! whether a thread is stuck in user code has to know when the piece began that it is in: many short ones in a row may
//! take long too. So a thread has a *watch*, which is told between pieces. What a piece runs in its turn, as a listener that
//! collects does, are no pieces of their own: the piece that they are in is what takes long.

use core::cell::{Cell, RefCell};
use std::sync::Arc;

/// Is told when a piece of user code is over on the thread that it watches. For collectors.
pub trait PiecesWatch: Send + Sync {
    /// A piece is over. Called with nothing locked; it must not run user code.
    fn between_pieces(&self);

    /// What another cycle left begins, which may have many pieces. As [`between_pieces`](PiecesWatch::between_pieces).
    fn begin_rest(&self);
}

thread_local! {
    static WATCH: RefCell<Option<Arc<dyn PiecesWatch>>> = const { RefCell::new(None) };
    /// How many pieces the thread is in since it is watched, one in the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// This thread is watched, until it is dropped. For collectors.
#[must_use = "the thread is watched until this is dropped"]
pub struct WatchedPieces {
    watch_before: Option<Arc<dyn PiecesWatch>>,
    depth_before: usize,
}

impl WatchedPieces {
    /// From here on, and by this watch alone. None at the very end of a thread.
    pub fn begin(watch: Arc<dyn PiecesWatch>) -> Option<WatchedPieces> {
        let watch_before = WATCH.try_with(|place| place.replace(Some(watch))).ok()?;
        Some(WatchedPieces { watch_before, depth_before: DEPTH.replace(0) })
    }
}

impl Drop for WatchedPieces {
    fn drop(&mut self) {
        DEPTH.set(self.depth_before);
        let before = self.watch_before.take();
        let ended = WATCH.try_with(|place| place.replace(before));
        // With nothing borrowed.
        drop(ended);
    }
}

/// Runs a piece of user code.
pub(crate) fn run<R>(piece: impl FnOnce() -> R) -> R {
    /// Ends the piece also when a panic gets here.
    struct InPiece;
    impl Drop for InPiece {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
            tell(|watch| watch.between_pieces());
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _in_piece = InPiece;
    piece()
}

/// What another cycle left begins.
pub(crate) fn begin_rest() {
    tell(|watch| watch.begin_rest());
}

/// Tells the watch, if the thread is in no piece.
fn tell(what: impl FnOnce(&dyn PiecesWatch)) {
    if DEPTH.get() > 0 {
        return;
    }
    let _ = WATCH.try_with(|place| {
        if let Some(watch) = &*place.borrow() {
            what(&**watch);
        }
    });
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl PiecesWatch for Counts {
        fn between_pieces(&self) {
            self.0.fetch_add(1, Relaxed);
        }

        fn begin_rest(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_watch_is_told_between_pieces_and_not_of_what_they_run_in_their_turn() {
        let (outer, inner) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
        let count = |counts: &Counts| counts.0.load(Relaxed);
        run(|| ());
        let watched = WatchedPieces::begin(outer.clone());
        run(|| {
            run(|| ());
            begin_rest();
            assert_eq!(count(&outer), 0);
            let watched = WatchedPieces::begin(inner.clone());
            run(|| ());
            assert_eq!(count(&inner), 1);
            drop(watched);
            run(|| ());
            assert_eq!(count(&outer), 0);
        });
        assert_eq!((count(&outer), count(&inner)), (1, 1));
        std::panic::catch_unwind(|| run(|| panic!("a piece that panics"))).unwrap_err();
        assert_eq!(count(&outer), 2);
        begin_rest();
        assert_eq!(count(&outer), 3);
        drop(watched);
        run(|| ());
        assert_eq!(count(&outer), 3);
    }
}
