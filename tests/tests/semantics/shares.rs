//! The first objects of a type lie in pieces of pages that spaces share: what one space does there is nothing to another.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use cspace::collector::{ForCollectors, LockWait, MarkPhase};
use cspace::*;

use crate::probe::Drops;

/// An object of which a page has room for many, in spaces that take no more than a few each.
#[derive(IObject)]
struct Link<'gc> {
    value: u64,
    next: Slot<'gc, Option<Gc<'gc, Link<'gc>>>>,
}

type LinkRoot = GcRoot<Rootable![Link<'_>]>;

fn space() -> CSpace {
    CSpace::builder().gc(GcMode::Manual).poison_freed(true).build().unwrap()
}

/// A chain of so many links, and garbage between them.
fn chain(space: &CSpace, first: u64, count: u64) -> LinkRoot {
    space.exclusive(|cx| {
        let mut next = None;
        for value in (first..first + count).rev() {
            cx.alloc(Link { value: u64::MAX, next: Slot::new(next) });
            next = Some(cx.alloc(Link { value, next: Slot::new(next) }));
        }
        cx.root(next.expect("at least one"))
    })
}

#[track_caller]
fn assert_chain(space: &CSpace, root: &LinkRoot, first: u64, count: u64) {
    space.shared(|cx| {
        let mut at = Some(root.get(cx));
        for value in first..first + count {
            let link = at.expect("it goes on");
            assert_eq!(link.value, value);
            at = link.next.get(cx);
        }
        assert!(at.is_none());
    });
}

#[test]
fn collections_of_many_small_spaces_at_once_keep_what_each_of_them_has() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = if cfg!(miri) { 2 } else { 300 };
    const SPACES: u64 = if cfg!(miri) { 2 } else { 8 };
    let together = Barrier::new(THREADS as usize);
    thread::scope(|threads| {
        for thread in 0..THREADS {
            let together = &together;
            threads.spawn(move || {
                let mut all = Vec::new();
                for round in 0..ROUNDS {
                    together.wait();
                    let first = thread << 32 | round << 8;
                    let new = space();
                    let count = 1 + round % 5;
                    all.push((chain(&new, first, count), new, first, count));
                    for (root, space, first, count) in &all {
                        let report = space.synchronous_gc().unwrap();
                        assert_eq!(report.objects_live, *count as usize);
                        assert_chain(space, root, *first, *count);
                    }
                    if all.len() as u64 > SPACES {
                        let (_, space, ..) = all.remove((round % SPACES) as usize);
                        assert!(space.verify().unwrap().is_clean());
                    }
                }
            });
        }
    });
}

#[test]
fn objects_of_spaces_on_one_page_die_in_their_own_collections_alone() {
    let (drops, other_drops) = (Drops::new(), Drops::new());
    let (here, there) = (space(), space());
    // In turns, so that they lie side by side.
    for _ in 0..40 {
        here.exclusive(|cx| _ = cx.alloc(drops.probe()));
        there.exclusive(|cx| _ = cx.alloc(other_drops.probe()));
    }
    let kept = there.exclusive(|cx| cx.root(cx.alloc(other_drops.probe())));
    assert_eq!(here.synchronous_gc().unwrap().objects_reclaimed, 40);
    assert_eq!((drops.count(), other_drops.count()), (40, 0));
    assert_eq!(there.synchronous_gc().unwrap().objects_reclaimed, 40);
    assert_eq!((drops.count(), other_drops.count()), (40, 40));
    assert_eq!((here.memory().committed, there.num_objects()), (0, 1));
    assert!(here.verify().unwrap().is_clean() && there.verify().unwrap().is_clean());
    drop(kept);
    drop(there);
    assert_eq!(other_drops.count(), 41);
}

/// Objects of many merged spaces, all of them gray at once: more than are on the mark stack under stress.
#[test]
fn what_waits_to_be_traced_in_shares_is_traced() {
    const REQUESTS: u64 = if cfg!(miri) { 80 } else { 500 };
    let server = CSpace::builder().gc(GcMode::Manual).poison_freed(true).stress(true).build();
    let server = server.unwrap();
    let mut roots = Vec::new();
    for i in 0..REQUESTS {
        let request = space();
        roots.push(chain(&request, i * 10, 3));
        server.transfer_from(&request).unwrap();
    }
    let all = server.exclusive(|cx| {
        let objects: Vec<_> = roots.iter().map(|root| root.get(cx)).collect();
        let all: OwnedRoot<Rootable![Vec<Gc<'_, Link<'_>>>]> = cx.own_root(objects);
        all
    });
    drop(roots);
    for _ in 0..3 {
        let report = server.synchronous_gc().unwrap();
        assert_eq!(report.objects_live as u64, REQUESTS * 3);
        server.shared(|cx| {
            for (i, first) in all.get(cx).iter().enumerate() {
                let values = [first.value, first.next.get(cx).unwrap().value];
                assert_eq!(values, [i as u64 * 10, i as u64 * 10 + 1]);
            }
        });
    }
    assert!(server.verify().unwrap().is_clean());
}

/// Sizes around those at which another kind of memory begins, and every alignment.
#[test]
fn the_first_objects_of_every_size_lie_apart() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(16))]
    struct By16<const N: usize>([u8; N]);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(256))]
    struct By256<const N: usize>([u8; N]);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(512))]
    struct By512<const N: usize>([u8; N]);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(4096))]
    struct By4096<const N: usize>([u8; N]);

    /// Makes some in two spaces, and looks at them after a collection.
    fn check<T: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static>(
        make: impl Fn(u8) -> T,
    ) {
        const COUNT: u8 = if cfg!(miri) { 6 } else { 40 };
        let spaces = [space(), space()];
        let mut roots = Vec::new();
        for i in 0..COUNT {
            let space = &spaces[usize::from(i) % 2];
            space.exclusive(|cx| {
                _ = cx.alloc(Static(make(0xFF)));
                let object = cx.alloc(Static(make(i)));
                assert_eq!(object.addr() % align_of::<T>(), 0);
                roots.push(cx.root(object));
            });
        }
        for space in &spaces {
            space.synchronous_gc().unwrap();
            space.exclusive(|cx| (0..COUNT).for_each(|_| _ = cx.alloc(Static(make(0xEE)))));
            assert!(space.verify().unwrap().is_clean());
        }
        for (i, root) in roots.iter().enumerate() {
            spaces[i % 2].shared(|cx| assert_eq!(root.get(cx).0, make(i as u8)));
        }
    }

    check(|i| [i; 1]);
    check(|i| [i; 16]);
    check(|i| [i; 48]);
    check(|i| [i; 128]);
    check(|i| [i; 129]);
    check(|i| [i; 256]);
    check(|i| [i; 257]);
    check(|i| [i; 512]);
    check(|i| [i; 513]);
    check(|i| [i; 2000]);
    check(|i| [i; 4096]);
    check(|i| [i; 4097]);
    check(|i| By16([i; 40]));
    check(|i| By256([i; 256]));
    check(|i| By256([i; 700]));
    check(|i| By512([i; 512]));
    check(|i| By4096([i; 4096]));
}

#[test]
fn tails_of_many_lengths_share_pages() {
    const LENGTHS: usize = if cfg!(miri) { 30 } else { 600 };
    let spaces = [space(), space(), space()];
    let mut roots = Vec::new();
    for len in 0..LENGTHS {
        let space = &spaces[len % 3];
        roots.push(space.exclusive(|cx| cx.root(cx.alloc_slice_copy(&vec![len as u64; len]))));
    }
    for round in 0..2 {
        for (len, root) in roots.iter().enumerate() {
            spaces[len % 3].shared(|cx| {
                let slice = root.get(cx);
                assert!(
                    slice.elems().len() == len
                        && slice.elems().iter().all(|value| *value == len as u64)
                );
            });
        }
        if round == 0 {
            spaces.iter().for_each(|space| _ = space.synchronous_gc().unwrap());
        }
    }
    assert!(spaces.iter().all(|space| space.verify().unwrap().is_clean()));
}

/// The drops of the dead run long after their spans went back to the heap.
#[test]
fn the_dead_that_wait_in_a_share_keep_the_living_beside_them() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    struct Looks(CSpace);
    impl Drop for Looks {
        fn drop(&mut self) {
            // A cycle, which marks and sweeps what lies beside this very object.
            let claim = self.0.try_claim_cycle().expect("what runs drops has given it up");
            let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
            phase.mark().unwrap();
            let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
            let remains = finish.condemn().unwrap().0.sweep();
            assert_eq!(remains.reclaimed().objects_live, 1);
            SEEN.fetch_add(1, Relaxed);
        }
    }
    let space = space();
    let kept = space.exclusive(|cx| {
        cx.alloc(Static(Some(Looks(space.clone()))));
        let kept = cx.root(cx.alloc(Static(None::<Looks>)));
        cx.alloc(Static(Some(Looks(space.clone()))));
        kept
    });
    space.synchronous_gc().unwrap();
    assert_eq!((SEEN.load(Relaxed), space.num_objects()), (2, 1));
    space.shared(|cx| assert!(kept.get(cx).0.is_none()));
    assert!(space.verify().unwrap().is_clean());
}

#[test]
fn what_the_shares_of_a_probe_hold_is_dropped_with_the_space() {
    let drops = Drops::new();
    let spaces: Vec<_> = (0..20).map(|_| space()).collect();
    for space in &spaces {
        space.exclusive(|cx| (0..3).for_each(|_| _ = cx.alloc(drops.probe())));
    }
    for (i, space) in spaces.into_iter().enumerate() {
        drop(space);
        assert_eq!(drops.count(), (i + 1) * 3);
    }
}
