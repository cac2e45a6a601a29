//! A program small enough for Miri to run it under many seeds, in which every pair of threads that cspace knows meets:
//! mutators, readers beside a mark, the collector's worker, handles that are dropped on another thread, a merge.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

use cspace::{CSpace, Gc, GcRoot, IObject, Rootable, Slot, Static};

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[derive(IObject)]
struct Link<'gc> {
    number: usize,
    counted: Static<Counted>,
    next: Slot<'gc, Option<Gc<'gc, Link<'gc>>>>,
}

const LINKS: usize = 6;

fn chain(space: &CSpace, drops: &Arc<AtomicUsize>) -> GcRoot<Rootable![Link<'_>]> {
    space.exclusive(|cx| {
        let mut first = None;
        for number in 0..LINKS {
            let counted = Static(Counted(drops.clone()));
            first = Some(cx.alloc(Link { number, counted, next: Slot::new(first) }));
        }
        cx.root(first.expect("there are some"))
    })
}

fn sum(space: &CSpace, root: &GcRoot<Rootable![Link<'_>]>) -> usize {
    space.shared(|cx| {
        let links = std::iter::successors(Some(root.get(cx)), |link| link.next.get(cx));
        links.map(|link| link.number).sum()
    })
}

#[test]
fn mutators_readers_a_worker_and_a_merge_agree_on_who_lives() {
    let drops = Arc::new(AtomicUsize::new(0));
    let space = CSpace::new();
    let kept = chain(&space, &drops);
    let whole = sum(&space, &kept);
    thread::scope(|threads| {
        // A mutator, whose garbage the collections below find.
        threads.spawn(|| {
            for _ in 0..2 {
                drop(chain(&space, &drops));
                space.lock().safepoint();
            }
        });
        // A reader, which makes and drops roots during a mark.
        threads.spawn(|| {
            for _ in 0..2 {
                let again = space.shared(|cx| cx.root(kept.get(cx)));
                assert_eq!(sum(&space, &again), whole);
                thread::yield_now();
            }
        });
        // The worker is asked, and a space that another thread made comes in.
        threads.spawn(|| {
            space.request_gc();
            let other = CSpace::new();
            let moved = chain(&other, &drops);
            space.transfer_from(&other).expect("nobody holds both");
            assert_eq!(sum(&space, &moved), whole);
        });
        space.collect().expect("nobody stops it");
        assert_eq!(sum(&space, &kept), whole);
    });
    space.collect().expect("nobody stops it");
    assert_eq!(space.num_objects(), LINKS);
    assert_eq!(drops.load(SeqCst), 3 * LINKS);
    let report = space.verify().expect("no cycle is under way");
    assert!(report.is_clean(), "{report}");
}
