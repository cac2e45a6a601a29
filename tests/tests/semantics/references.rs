//! References whose tokens come out of a queue when their objects have died.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::probe::{on_drop, Drops, Probe};
use crate::watchdog::{eventually, within};

const LONG: Duration = Duration::from_secs(60);

fn manual() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

fn sorted<K: Ord + Send + 'static>(queue: &ReferenceQueue<K>) -> Vec<K> {
    let mut tokens: Vec<K> = queue.try_iter().collect();
    tokens.sort_unstable();
    tokens
}

#[test]
fn a_token_comes_once_when_its_object_has_died() {
    let (space, queue) = (manual(), ReferenceQueue::new());
    let (weak, phantom, root) = space.exclusive(|cx| {
        let object = cx.alloc("text".to_string());
        let weak = queue.weak(cx, object, 1);
        (weak, queue.phantom(cx, object, 2), cx.root(object))
    });
    space.collect().unwrap();
    assert!(queue.is_empty() && queue.poll().is_none());
    space.shared(|cx| assert_eq!(weak.get(cx).unwrap().as_str(), "text"));
    drop(root);
    space.shared(|cx| assert!(weak.get(cx).is_some(), "no collection has found it"));
    space.collect().unwrap();
    assert_eq!(queue.len(), 2);
    space.shared(|cx| assert!(weak.get(cx).is_none()));
    assert_eq!(sorted(&queue), [1, 2]);
    assert!(weak.is_cleared() && phantom.is_cleared());
    assert!(!weak.enqueue() && !phantom.enqueue());
    assert_eq!((weak.clear(), phantom.clear()), (None, None));
    space.collect().unwrap();
    drop(space);
    assert!(queue.is_empty());
}

#[test]
fn what_is_cleared_gives_its_token_back_and_sends_none() {
    let (space, queue, drops) = (manual(), ReferenceQueue::new(), Drops::new());
    let (weak, phantom) = space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        (queue.weak(cx, object, drops.probe()), queue.phantom(cx, object, drops.probe()))
    });
    let copy = weak.clone();
    let token = weak.clear().expect("it was not sent");
    assert!(copy.clear().is_none() && !copy.enqueue() && copy.is_cleared());
    space.shared(|cx| assert!(copy.get(cx).is_none(), "though the object is there"));
    assert!(phantom.clear().is_some());
    assert_eq!(drops.count(), 1);
    space.collect().unwrap();
    drop((space, token));
    assert!(queue.is_empty());
    assert_eq!(drops.count(), 2);
}

#[test]
fn what_is_enqueued_by_hand_is_cleared_and_comes_once() {
    let (space, queue) = (manual(), ReferenceQueue::new());
    let (weak, phantom, root) = space.exclusive(|cx| {
        let object = cx.alloc(1u64);
        let weak = queue.weak(cx, object, "weak");
        (weak, queue.phantom(cx, object, "phantom"), cx.root(object))
    });
    assert!(weak.enqueue() && !weak.enqueue() && phantom.enqueue());
    assert_eq!(sorted(&queue), ["phantom", "weak"]);
    space.shared(|cx| assert!(weak.get(cx).is_none(), "cleared, then enqueued"));
    drop(root);
    space.collect().unwrap();
    assert!(queue.is_empty());
}

#[test]
fn a_reference_that_is_dropped_still_sends() {
    let (space, queue) = (manual(), ReferenceQueue::new());
    space.exclusive(|cx| {
        drop(queue.weak(cx, cx.alloc(1u64), 1));
        drop(queue.phantom(cx, cx.alloc(1u64), 2));
    });
    space.shared(|cx| assert_eq!(cx.num_objects(), 3));
    space.collect().unwrap();
    assert_eq!(sorted(&queue), [1, 2]);
    assert_eq!(space.num_objects(), 0, "the weak reference's own cell too");
}

#[test]
fn a_reader_makes_phantom_references() {
    let (space, queue) = (manual(), ReferenceQueue::new());
    let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
    space.shared(|cx| drop(queue.phantom(cx, root.get(cx), 1)));
    drop(root);
    space.collect().unwrap();
    assert_eq!(queue.poll(), Some(1));
}

#[test]
fn the_end_of_a_space_sends_all_tokens_and_the_queue_outlives_it() {
    let queue = ReferenceQueue::new();
    let mut kept = Vec::new();
    for number in 0..3 {
        let space = manual();
        space.exclusive(|cx| {
            let object = cx.alloc(number);
            kept.push((cx.root(object), queue.weak(cx, object, number)));
        });
        drop(space);
        assert_eq!(queue.poll(), Some(number));
    }
    assert!(queue.is_empty());
}

#[test]
fn tokens_of_a_space_that_ends_within_another_come_when_that_is_left() {
    let (space, outer, queue) = (manual(), manual(), ReferenceQueue::new());
    space.exclusive(|cx| drop(queue.phantom(cx, cx.alloc(1u64), 1)));
    outer.exclusive(|_| {
        drop(space);
        assert!(queue.is_empty());
    });
    eventually(|| queue.len() == 1);
}

#[test]
fn a_queue_that_is_dropped_drops_what_is_pending_and_what_comes_later() {
    let (space, queue, drops) = (manual(), ReferenceQueue::new(), Drops::new());
    let (later, by_hand, root) = space.exclusive(|cx| {
        queue.phantom(cx, cx.alloc(1u64), drops.probe());
        let object = cx.alloc(2u64);
        let later = queue.weak(cx, object, drops.probe());
        (later, queue.phantom(cx, object, drops.probe()), cx.root(object))
    });
    space.collect().unwrap();
    assert_eq!((queue.len(), drops.count()), (1, 0));
    drop(queue);
    assert_eq!(drops.count(), 1);
    assert!(by_hand.enqueue(), "it takes the token, and nothing else happens");
    assert_eq!(drops.count(), 2);
    space.shared(|cx| assert!(later.get(cx).is_some()));
    drop(root);
    assert_eq!(space.collect().unwrap().cleaner_panics, 0);
    assert_eq!(drops.count(), 3);
}

#[test]
fn a_token_whose_drop_panics_is_told_as_an_action_that_panics() {
    let (space, queue) = (manual(), ReferenceQueue::new());
    space.exclusive(|cx| {
        drop(queue.phantom(cx, cx.alloc(1u64), on_drop(|| panic!("a token"))));
    });
    drop(queue);
    let report = space.collect().unwrap();
    assert_eq!((report.cleaners_run, report.cleaner_panics), (1, 1));
}

#[test]
fn waiting_ends_with_a_token_or_with_the_time() {
    within(|| {
        let (space, queue) = (CSpace::new(), ReferenceQueue::new());
        let begun = Instant::now();
        assert_eq!(queue.wait(Duration::from_millis(10)), None);
        assert!(begun.elapsed() >= Duration::from_millis(10));
        thread::scope(|threads| {
            let waiting = threads.spawn(|| queue.wait(Duration::MAX));
            space.exclusive(|cx| drop(queue.phantom(cx, cx.alloc(1u64), 7)));
            space.collect().unwrap();
            assert_eq!(waiting.join().unwrap(), Some(7));
        });
    });
}

/// The order that a reader relies on who has a table of references: a token, then nothing behind its reference.
#[test]
#[cfg_attr(miri, ignore = "2,000 references")]
fn whoever_has_a_token_finds_its_reference_cleared() {
    type Reference = WeakReference<u64, usize>;
    within(|| {
        const COUNT: usize = 2000;
        let space = CSpace::builder().gc_period(Duration::ZERO).poison_freed(true).build().unwrap();
        let queue = ReferenceQueue::new();
        let table: Arc<Mutex<Vec<Reference>>> = Arc::default();
        thread::scope(|threads| {
            threads.spawn(|| {
                for number in 0..COUNT {
                    let reference = space.exclusive(|cx| {
                        let mut table = table.lock().unwrap();
                        table.push(queue.weak(cx, cx.alloc(number as u64), number));
                        table[number].clone()
                    });
                    if number % 2 == 0 {
                        reference.enqueue();
                    }
                }
            });
            threads.spawn(|| {
                let mut seen = vec![false; COUNT];
                for _ in 0..COUNT {
                    let number = queue.wait(LONG).expect("each object dies");
                    assert!(!std::mem::replace(&mut seen[number], true), "{number} came twice");
                    let reference = table.lock().unwrap()[number].clone();
                    assert!(space.shared(|cx| reference.get(cx).is_none()), "{number}");
                }
            });
        });
        assert!(queue.is_empty());
    });
}

#[test]
fn enqueueing_clearing_and_dying_at_once_are_one_of_them() {
    within(|| {
        const COUNT: usize = if cfg!(miri) { 10 } else { 300 };
        for _ in 0..if cfg!(miri) { 2 } else { 30 } {
            let (space, queue) = (manual(), ReferenceQueue::new());
            let references: Vec<_> = space.exclusive(|cx| {
                (0..COUNT).map(|i| queue.phantom(cx, cx.alloc(i as u64), i)).collect()
            });
            let (enqueued, cleared) = thread::scope(|threads| {
                let references = &references;
                let enqueued = threads.spawn(|| references.iter().filter(|r| r.enqueue()).count());
                let cleared = threads.spawn(|| {
                    references.iter().rev().filter_map(|r| r.clear()).collect::<Vec<_>>()
                });
                let died = space.collect().unwrap().cleaners_run;
                (enqueued.join().unwrap() + died, cleared.join().unwrap())
            });
            assert_eq!(enqueued, queue.len());
            let mut all = sorted(&queue);
            all.extend(cleared);
            all.sort_unstable();
            assert!(all.into_iter().eq(0..COUNT));
        }
    });
}

#[test]
fn references_follow_their_objects_through_a_merge() {
    let (target, source, queue) = (manual(), manual(), ReferenceQueue::new());
    let (weak, root) = source.exclusive(|cx| {
        let object = cx.alloc(1u64);
        (queue.weak(cx, object, 1), cx.root(object))
    });
    target.transfer_from(&source).unwrap();
    source.shared(|cx| assert_eq!(weak.try_get(cx).err(), Some(WrongSpace)));
    target.shared(|cx| assert!(Gc::ptr_eq(weak.try_get(cx).unwrap().unwrap(), root.get(cx))));
    source.collect().unwrap();
    drop((source, root));
    assert!(queue.is_empty());
    target.collect().unwrap();
    assert_eq!(queue.poll(), Some(1));
}

/// An object that is rooted while the mark goes on has not died, and its token has not come.
#[test]
fn an_object_that_a_reader_saves_sends_no_token() {
    let (space, queue) = (manual(), ReferenceQueue::new());
    let weak = space.exclusive(|cx| queue.weak(cx, cx.alloc(1u64), 1));
    let claim = space.try_claim_cycle().unwrap();
    let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).ok().unwrap();
    phase.mark().unwrap();
    let root = thread::scope(|threads| {
        let reader = || space.shared(|cx| cx.root(weak.get(cx).unwrap()));
        threads.spawn(reader).join().unwrap()
    });
    let batch = phase.try_finish(LONG).ok().unwrap().condemn().unwrap().0;
    space.shared(|cx| assert!(weak.get(cx).is_some()));
    drop(batch.reclaim());
    assert!(queue.is_empty() && !weak.is_cleared());
    drop(root);
    space.collect().unwrap();
    assert_eq!(queue.poll(), Some(1));
}

#[test]
fn queues_and_references_go_to_other_threads() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<ReferenceQueue<std::cell::Cell<u8>>>();
    is_send_and_sync::<WeakReference<Static<Probe>, std::cell::Cell<u8>>>();
    is_send_and_sync::<PhantomReference<std::cell::Cell<u8>>>();
    is_send_and_sync::<Cleaner>();
}
