//! The nth call of a listener, of a transaction's callback, or of a comparison panics.

use std::panic::{catch_unwind, AssertUnwindSafe};

use cspace::{CSpace, CollectError, LockError, WeakSet};

use crate::graph::{Graph, Maker, HASH};
use crate::trap::{every_place, Bomb, Trap};

fn collect_with_listener(spring: impl Fn(&Trap) + Send + Sync + Clone + 'static) -> u32 {
    every_place(|nth| {
        let (maker, trap) = (Maker::new(), Trap::default());
        let listeners = [trap.clone(), trap.clone()].map(|trap| {
            let spring = spring.clone();
            move |_: &cspace::Event| spring(&trap)
        });
        let [first, second] = listeners;
        let space = CSpace::builder()
            .poison_freed(true)
            .on_event(first)
            .on_event(second)
            .build()
            .expect("valid");
        let fill = || {
            space.exclusive(|cx| {
                cx.root(maker.chain(cx));
                cx.root(maker.chain(cx))
            })
        };
        let root = fill();
        trap.arm(nth);
        // A drop that panics, a visit that panics, and a cycle without faults: each is an event.
        maker.drop.arm(2);
        let report = space.synchronous_gc().expect("a listener's panic does not fail a cycle");
        assert_eq!(report.drop_panics, 1);
        maker.visit.arm(1);
        let abandoned = space.synchronous_gc();
        assert!(matches!(abandoned, Err(CollectError::VisitPanicked { .. })), "{abandoned:?}");
        space.synchronous_gc().expect("no fault is left");
        let done = trap.disarm();
        assert!(space.verify().expect("nobody is inside").is_clean());
        drop(root);
        space.synchronous_gc().expect("no fault is left");
        assert_eq!(space.num_objects(), 0);
        assert_eq!(maker.log.not_once(), None);
        !done
    })
}

#[test]
fn a_listener_that_panics_changes_nothing() {
    // Two listeners: a panicking drop, the cycle around it, an abandoned one, another.
    assert_eq!(collect_with_listener(Trap::spring), 2 * 4);
}

#[test]
fn a_listener_that_panics_with_a_payload_that_does_changes_nothing() {
    let places = collect_with_listener(|trap| trap.spring_with(|| Box::new(Bomb)));
    assert_eq!(places, 2 * 4);
}

#[test]
fn a_transaction_whose_callback_panics_releases_the_lock() {
    let places = every_place(|nth| {
        let (maker, trap) = (Maker::new(), Trap::default());
        let space = CSpace::new();
        for _ in 0..2 {
            let (maker, trap) = (maker.clone(), trap.clone());
            space.on_transaction_begin(move |cx| {
                cx.alloc(maker.node(None));
                trap.spring();
            });
        }
        for _ in 0..2 {
            let (maker, trap) = (maker.clone(), trap.clone());
            space.on_transaction_end(move |cx| {
                cx.alloc(maker.node(None));
                trap.spring();
            });
        }
        trap.arm(nth);
        let result = catch_unwind(AssertUnwindSafe(|| {
            space.transaction(|cx| {
                cx.alloc(maker.node(None));
            });
        }));
        let done = trap.disarm();
        assert_eq!(result.is_ok(), done);
        let locked = space.try_lock().map(drop);
        assert_eq!(matches!(locked, Err(LockError::Poisoned { .. })), !done, "{locked:?}");
        space.clear_poison();
        space.synchronous_gc().expect("no visit panics");
        assert!(space.verify().expect("nobody is inside").is_clean());
        assert_eq!(space.num_objects(), 0);
        assert_eq!(maker.log.not_once(), None);
        !done
    });
    assert_eq!(places, 4);
}

#[test]
fn a_comparison_that_panics_leaves_its_weak_set_whole() {
    every_place(|nth| {
        let (maker, trap) = (Maker::new(), Trap::default());
        let graph = Graph::new(&maker);
        let machine = graph.machine.as_ref().expect("not dropped yet");
        trap.arm(nth);
        let found = catch_unwind(AssertUnwindSafe(|| {
            graph.space.shared(|cx| {
                let names: &WeakSet<'_, _> = &machine.get(cx).names;
                names
                    .find(HASH, |_| {
                        trap.spring();
                        false
                    })
                    .is_some()
            })
        }));
        let done = trap.disarm();
        assert_eq!(found.is_ok(), done);
        assert_eq!(graph.weak_counts(), (3, 3));
        graph.assert_collects();
        !done
    });
}

#[test]
fn a_task_of_a_fanned_out_access_that_panics_ends_the_access_and_no_more() {
    let maker = Maker::new();
    let graph = Graph::new(&maker);
    let trap = Trap::default();
    trap.arm(2);
    let result = catch_unwind(AssertUnwindSafe(|| {
        graph.space.shared(|cx| {
            cx.fan_out((0..3).map(|_| |_: &cspace::Shared<'_>| trap.spring()));
        });
    }));
    assert!(result.is_err());
    assert!(!graph.space.is_poisoned(), "a shared access changes nothing");
    graph.assert_clean();
    graph.assert_collects();
}
