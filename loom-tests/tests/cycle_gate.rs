//! Sweeps that hand back, and merges against running cycles ([`CycleGate`]).
//!
//! The scenes are those of `claim.rs`, `batch.rs` and `transfer.rs`. A space is a gate and a lock: a cycle begins, and
//! a merge moves gates, with the lock held; a sweep runs without it. The mark bits are plain memory that loom
//! watches: two cycles that use them at once are a violation.

use cspace_core::protocol::CycleGate;
use cspace_core::sync::{AtomicUsize, Ordering::Relaxed};
use cspace_loom_tests::{play_bounded, spawn, Mutex, Plain};
use std::sync::Arc;

/// The bytes that a space has.
type Bytes = Arc<AtomicUsize>;

/// A handle that keeps a space alive: its drop frees the space.
struct Keep(Arc<Plain>);

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.write(FREED);
    }
}

const FREED: u32 = 7;

trait Gate: Send + Sync + Sized + 'static {
    fn new(bytes: Bytes) -> Arc<Self>;
    fn try_claim(&self) -> bool;
    fn begin(&self) -> bool;
    fn release(self: &Arc<Self>);
    fn leave_for_drops(self: &Arc<Self>);
    fn end_drops(self: &Arc<Self>);
    fn put(self: &Arc<Self>, item: u32, bytes: usize);
    fn take(&self) -> Vec<u32>;
    fn move_into(self: &Arc<Self>, target: &Arc<Self>, keep: Keep);
}

impl Gate for CycleGate<u32, Bytes, Keep> {
    fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(CycleGate::new(bytes))
    }
    fn try_claim(&self) -> bool {
        self.try_claim()
    }
    fn begin(&self) -> bool {
        self.begin()
    }
    fn release(self: &Arc<Self>) {
        drop(CycleGate::release(self));
    }
    fn leave_for_drops(self: &Arc<Self>) {
        CycleGate::leave_for_drops(self);
    }
    fn end_drops(self: &Arc<Self>) {
        drop(CycleGate::end_drops(self));
    }
    fn put(self: &Arc<Self>, item: u32, bytes: usize) {
        CycleGate::put(self, vec![item], |owner| {
            owner.fetch_sub(bytes, Relaxed);
        });
    }
    fn take(&self) -> Vec<u32> {
        self.take().into_iter().flatten().collect()
    }
    fn move_into(self: &Arc<Self>, target: &Arc<Self>, keep: Keep) {
        let mut keep = Some(keep);
        CycleGate::move_into(
            self,
            target,
            || keep.take().expect("asked for once"),
            |from, into| {
                into.fetch_add(from.swap(0, Relaxed), Relaxed);
            },
        );
        // Not asked for: no batch is out, and the caller has the space.
        std::mem::forget(keep);
    }
}

struct Space<G> {
    gate: Arc<G>,
    lock: Mutex<()>,
    bytes: Bytes,
}

impl<G: Gate> Space<G> {
    fn new(bytes: usize) -> Arc<Self> {
        let bytes = Arc::new(AtomicUsize::new(bytes));
        Arc::new(Space { gate: G::new(Arc::clone(&bytes)), lock: Mutex::new(()), bytes })
    }
}

/// P7, P8, P9: a sweep of the source is under way, of 10 of whose bytes it frees 4, when the source is merged into
/// a target, of which another thread had claimed a cycle or does so now.
fn a_batch_goes_along_with_its_objects<G: Gate>(claimed_before: bool) {
    play_bounded(2, move || {
        let (source, target) = (Space::<G>::new(10), Space::<G>::new(20));
        let (marks, alive) = (Arc::new(Plain::new(0)), Arc::new(Plain::new(1)));
        assert!(source.gate.try_claim() && source.gate.begin());
        let mut claimed = claimed_before && target.gate.try_claim();
        let sweeper = {
            let (source, marks, alive) =
                (Arc::clone(&source), Arc::clone(&marks), Arc::clone(&alive));
            spawn(move || {
                // Clears the mark bits of what it sweeps.
                marks.write(0);
                source.gate.put(1, 4);
                assert_ne!(alive.read(), FREED, "the space of the batch is gone");
                source.gate.release();
            })
        };
        let collector = {
            let (target, marks) = (Arc::clone(&target), Arc::clone(&marks));
            spawn(move || {
                claimed = claimed || target.gate.try_claim();
                if claimed {
                    let _lock = target.lock.lock().unwrap();
                    // After the merge the marks of the source's objects are this cycle's.
                    if target.gate.begin() && target.bytes.load(Relaxed) > 20 {
                        marks.write(1);
                    }
                }
                if claimed {
                    target.gate.release();
                }
            })
        };
        {
            let _from = source.lock.lock().unwrap();
            let _into = target.lock.lock().unwrap();
            source.gate.move_into(&target.gate, Keep(Arc::clone(&alive)));
        }
        sweeper.join().unwrap();
        collector.join().unwrap();
        assert_eq!(target.gate.take(), [1], "what was swept did not come back once, to the target");
        assert_eq!(source.gate.take(), [0u32; 0], "it came back to the source");
        let bytes = (source.bytes.load(Relaxed), target.bytes.load(Relaxed));
        assert_eq!(bytes, (0, 26), "the counts do not add up");
        assert!(target.gate.try_claim(), "the target is not free in the end");
    });
}

/// P7: a cycle of the source was claimed when the source is merged. Nobody begins with that claim afterwards.
fn a_claim_that_has_not_begun_does_not_begin_after_the_merge<G: Gate>() {
    play_bounded(2, || {
        let (source, target) = (Space::<G>::new(0), Space::<G>::new(0));
        let (marks, alive) = (Arc::new(Plain::new(0)), Arc::new(Plain::new(1)));
        assert!(source.gate.try_claim());
        let collector = {
            let (source, marks) = (Arc::clone(&source), Arc::clone(&marks));
            spawn(move || {
                let lock = source.lock.lock().unwrap();
                if source.gate.begin() {
                    marks.write(1);
                }
                drop(lock);
                source.gate.release();
            })
        };
        {
            let _from = source.lock.lock().unwrap();
            let _into = target.lock.lock().unwrap();
            source.gate.move_into(&target.gate, Keep(Arc::clone(&alive)));
        }
        // A cycle of the target; of the same objects, if there were any.
        let may = target.gate.try_claim();
        if may {
            let _lock = target.lock.lock().unwrap();
            if target.gate.begin() {
                marks.write(2);
            }
        }
        collector.join().unwrap();
        if may {
            target.gate.release();
        }
        assert!(target.gate.try_claim(), "the target is not free in the end");
    });
}

/// P8, P9: a batch of the source is swept and leaves its claim for its drops, which free 4 of 10 bytes, when the source is
/// merged into a target. Meanwhile another thread may collect the target.
fn drops_go_along_with_their_objects_and_keep_no_cycle_out<G: Gate>() {
    play_bounded(2, || {
        let (source, target) = (Space::<G>::new(10), Space::<G>::new(20));
        let alive = Arc::new(Plain::new(1));
        assert!(source.gate.try_claim() && source.gate.begin());
        let sweeper = {
            let (source, alive) = (Arc::clone(&source), Arc::clone(&alive));
            spawn(move || {
                source.gate.leave_for_drops();
                source.gate.put(1, 4);
                assert_ne!(alive.read(), FREED, "the space of the drops is gone");
                source.gate.end_drops();
            })
        };
        {
            let _from = source.lock.lock().unwrap();
            let _into = target.lock.lock().unwrap();
            source.gate.move_into(&target.gate, Keep(Arc::clone(&alive)));
        }
        // Either the batch is being swept still, or only its drops are out.
        if target.gate.try_claim() {
            let lock = target.lock.lock().unwrap();
            assert!(target.gate.begin(), "nothing else keeps a cycle out");
            drop(lock);
            target.gate.release();
        }
        sweeper.join().unwrap();
        assert_eq!(target.gate.take(), [1], "what was freed did not come back once, to the target");
        let bytes = (source.bytes.load(Relaxed), target.bytes.load(Relaxed));
        assert_eq!(bytes, (0, 26), "the counts do not add up");
        assert!(target.gate.try_claim(), "the target is not free in the end");
        target.gate.release();
    });
}

#[test]
fn p8_p9_drops_go_along_with_their_objects_and_keep_no_cycle_out() {
    drops_go_along_with_their_objects_and_keep_no_cycle_out::<CycleGate<u32, Bytes, Keep>>();
}

#[test]
fn p7_p8_p9_a_batch_goes_along_with_its_objects() {
    a_batch_goes_along_with_its_objects::<CycleGate<u32, Bytes, Keep>>(false);
}

#[test]
fn p7_a_cycle_that_was_claimed_before_the_merge_waits_for_the_batch_that_came_with_it() {
    a_batch_goes_along_with_its_objects::<CycleGate<u32, Bytes, Keep>>(true);
}

#[test]
fn p7_a_claim_that_has_not_begun_is_stale_after_the_merge() {
    a_claim_that_has_not_begun_does_not_begin_after_the_merge::<CycleGate<u32, Bytes, Keep>>();
}

#[cfg(cspace_loom)]
mod weakened {
    use super::*;

    /// A copy of [`CycleGate`] for one merge, one of whose steps is left out.
    struct Weak<const STEP: u8> {
        state: Mutex<State<STEP>>,
        bytes: Bytes,
    }

    const WHOLE: u8 = 0;
    const NOT_COUNTED: u8 = 1;
    const NOT_PASSED_ON: u8 = 2;
    const PUT_STAYS: u8 = 3;
    const BEGINS_THOUGH_MOVED: u8 = 4;
    const BEGINS_BESIDE_INHERITED: u8 = 5;
    const COUNTED_OUTSIDE: u8 = 6;
    const NOT_KEPT: u8 = 7;
    const DROPS_NOT_COUNTED: u8 = 8;
    const STAYS_INHERITED: u8 = 9;

    #[derive(Default)]
    struct State<const STEP: u8> {
        claimed: bool,
        begun: bool,
        moved: bool,
        inherited: usize,
        dropping: usize,
        moved_to: Option<Arc<Weak<STEP>>>,
        keep: Option<Keep>,
        returned: Vec<u32>,
    }

    impl<const STEP: u8> Gate for Weak<STEP> {
        fn new(bytes: Bytes) -> Arc<Self> {
            Arc::new(Weak { state: Mutex::new(State::default()), bytes })
        }
        fn try_claim(&self) -> bool {
            let mut state = self.state.lock().unwrap();
            let free = !state.claimed && state.inherited == 0 && !state.moved;
            state.claimed |= free;
            free
        }
        fn begin(&self) -> bool {
            let mut state = self.state.lock().unwrap();
            let moved = state.moved && STEP != BEGINS_THOUGH_MOVED;
            let inherited = state.inherited > 0 && STEP != BEGINS_BESIDE_INHERITED;
            state.begun = !moved && !inherited;
            state.begun
        }
        fn release(self: &Arc<Self>) {
            let mut state = self.state.lock().unwrap();
            state.claimed = false;
            let begun = std::mem::take(&mut state.begun);
            let next = if begun { state.moved_to.take() } else { None };
            let keep = state.keep.take();
            drop(state);
            if let Some(next) = next.filter(|_| STEP != NOT_PASSED_ON) {
                let mut state = next.state.lock().unwrap();
                state.inherited = state.inherited.saturating_sub(1);
            }
            drop(keep);
        }
        fn leave_for_drops(self: &Arc<Self>) {
            let mut state = self.state.lock().unwrap();
            state.claimed = false;
            state.begun = false;
            let Some(next) = state.moved_to.clone() else {
                state.dropping += 1;
                return;
            };
            drop(state);
            let mut state = next.state.lock().unwrap();
            if STEP != STAYS_INHERITED {
                state.inherited -= 1;
            }
            state.dropping += 1;
        }
        fn end_drops(self: &Arc<Self>) {
            let mut state = self.state.lock().unwrap();
            let keep = state.keep.take();
            let next = state.moved_to.take();
            match next {
                None => state.dropping = state.dropping.saturating_sub(1),
                Some(next) => {
                    drop(state);
                    next.state.lock().unwrap().dropping -= 1;
                }
            }
            drop(keep);
        }
        fn put(self: &Arc<Self>, item: u32, bytes: usize) {
            let state = self.state.lock().unwrap();
            let next = state.moved_to.clone().filter(|_| STEP != PUT_STAYS);
            let put = |owner: &Self, mut state: loom::sync::MutexGuard<'_, State<STEP>>| {
                if STEP == COUNTED_OUTSIDE {
                    state.returned.push(item);
                    drop(state);
                    owner.bytes.fetch_sub(bytes, Relaxed);
                } else {
                    owner.bytes.fetch_sub(bytes, Relaxed);
                    state.returned.push(item);
                }
            };
            match next {
                None => put(self, state),
                Some(next) => {
                    drop(state);
                    put(&next, next.state.lock().unwrap());
                }
            }
        }
        fn take(&self) -> Vec<u32> {
            std::mem::take(&mut self.state.lock().unwrap().returned)
        }
        fn move_into(self: &Arc<Self>, target: &Arc<Self>, keep: Keep) {
            let mut from = self.state.lock().unwrap();
            let mut into = target.state.lock().unwrap();
            target.bytes.fetch_add(self.bytes.swap(0, Relaxed), Relaxed);
            into.returned.append(&mut from.returned);
            from.moved = true;
            let dropping = std::mem::take(&mut from.dropping);
            into.dropping += dropping;
            if from.begun || (dropping > 0 && STEP != DROPS_NOT_COUNTED) {
                from.moved_to = Some(Arc::clone(target));
                if STEP != NOT_COUNTED && from.begun {
                    into.inherited += 1;
                }
                if STEP != NOT_KEPT {
                    from.keep = Some(keep);
                }
            } else {
                std::mem::forget(keep);
            }
        }
    }

    #[test]
    fn the_copy_without_a_weakness_passes() {
        a_batch_goes_along_with_its_objects::<Weak<WHOLE>>(false);
        a_batch_goes_along_with_its_objects::<Weak<WHOLE>>(true);
        a_claim_that_has_not_begun_does_not_begin_after_the_merge::<Weak<WHOLE>>();
        drops_go_along_with_their_objects_and_keep_no_cycle_out::<Weak<WHOLE>>();
    }

    #[test]
    #[should_panic]
    fn drops_that_a_merge_does_not_count_are_found_out() {
        drops_go_along_with_their_objects_and_keep_no_cycle_out::<Weak<DROPS_NOT_COUNTED>>();
    }

    #[test]
    #[should_panic = "the target is not free in the end"]
    fn a_batch_that_stays_inherited_while_it_drops_is_found_out() {
        drops_go_along_with_their_objects_and_keep_no_cycle_out::<Weak<STAYS_INHERITED>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_batch_that_is_not_counted_at_the_target_is_found_out() {
        a_batch_goes_along_with_its_objects::<Weak<NOT_COUNTED>>(false);
    }

    #[test]
    #[should_panic = "the target is not free in the end"]
    fn a_release_that_is_not_passed_on_is_found_out() {
        a_batch_goes_along_with_its_objects::<Weak<NOT_PASSED_ON>>(false);
    }

    #[test]
    #[should_panic = "did not come back once, to the target"]
    fn a_put_that_does_not_follow_the_move_is_found_out() {
        a_batch_goes_along_with_its_objects::<Weak<PUT_STAYS>>(false);
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_stale_claim_that_begins_is_found_out() {
        a_claim_that_has_not_begun_does_not_begin_after_the_merge::<Weak<BEGINS_THOUGH_MOVED>>();
    }

    #[test]
    #[should_panic = "Causality violation"]
    fn a_cycle_that_begins_beside_an_inherited_batch_is_found_out() {
        a_batch_goes_along_with_its_objects::<Weak<BEGINS_BESIDE_INHERITED>>(true);
    }

    #[test]
    #[should_panic = "the counts do not add up"]
    fn counting_outside_of_the_mutex_is_found_out() {
        a_batch_goes_along_with_its_objects::<Weak<COUNTED_OUTSIDE>>(false);
    }

    #[test]
    #[should_panic]
    fn a_batch_whose_space_is_not_kept_is_found_out() {
        a_batch_goes_along_with_its_objects::<Weak<NOT_KEPT>>(false);
    }
}
