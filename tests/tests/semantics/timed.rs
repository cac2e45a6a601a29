//! Collections that come by time: when the period is over and anything changed, whoever runs them; and never else.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use cspace::collector::ForCollectors;
use cspace::native::{AutoArena, DirectBuffer};
use cspace::*;

use crate::probe::Drops;
use crate::watchdog::{eventually, within};

const LONG: Duration = Duration::from_secs(50);
const MS: Duration = Duration::from_millis(1);

/// Calls `f` with a space whose collections are run by each sort of driver, every millisecond.
fn with_each_driver(f: impl Fn(&CSpace) + Send + 'static) {
    within(move || {
        f(&CSpace::builder().gc_period(MS).build().unwrap());
        // The others do the same, and it would take Miri too long to see it thrice.
        if cfg!(miri) {
            return;
        }
        let pool = GcPool::new(1).unwrap();
        f(&CSpace::builder().gc_period(MS).gc_pool(&pool).build().unwrap());
        let space = CSpace::builder().gc_period(MS).gc(GcMode::Manual).build().unwrap();
        let mut driver = space.gc_driver().unwrap();
        let thread = thread::spawn(move || {
            while driver.wait_for_garbage_collect() {
                driver.collect();
            }
        });
        f(&space);
        drop(space);
        thread.join().unwrap();
    });
}

/// Collects, and gives the driver time to fall asleep: whether it does or not, what follows must hold.
fn settle(space: &CSpace) {
    space.synchronous_gc().unwrap();
    eventually(|| !space.may_find_more());
    thread::sleep(5 * MS);
}

#[test]
fn a_root_that_is_dropped_on_any_thread_is_enough() {
    with_each_driver(|space| {
        let drops = Drops::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
        let copy = root.clone();
        settle(space);
        drop(root);
        assert_eq!(drops.count(), 0);
        thread::scope(|threads| threads.spawn(move || drop(copy)).join().unwrap());
        eventually(|| drops.count() == 1);
    });
}

#[test]
fn an_owned_root_that_is_dropped_is_enough() {
    with_each_driver(|space| {
        let drops = Drops::new();
        let owned = space.exclusive(|cx| cx.own_root(vec![cx.alloc(drops.probe())]));
        settle(space);
        drop(owned);
        eventually(|| drops.count() == 1);
    });
}

#[test]
fn a_weak_an_evictable_root_and_a_pin_that_are_dropped_are_enough() {
    with_each_driver(|space| {
        let (weak, page, pin, kept) = space.exclusive(|cx| {
            let (a, b) = (cx.alloc(1u64), cx.alloc(2u64));
            let page = cx.evictable_root(b);
            (cx.weak_root(a), page.clone(), page.pin(cx).unwrap(), cx.root(a))
        });
        settle(space);
        assert_eq!(space.num_objects(), 4);
        drop(weak);
        eventually(|| space.num_objects() == 3);
        settle(space);
        space.set_eviction_threshold(0);
        settle(space);
        assert!(space.shared(|cx| !page.is_evicted(cx)), "it is pinned");
        drop(pin);
        eventually(|| space.shared(|cx| page.is_evicted(cx)));
        drop((page, kept));
        eventually(|| space.num_objects() == 0);
    });
}

#[test]
fn what_an_access_unlinks_dies_though_nothing_is_allocated() {
    with_each_driver(|space| {
        let drops = Drops::new();
        let root =
            space.exclusive(|cx| cx.root(cx.alloc(Slot::new(Some(cx.alloc(drops.probe()))))));
        settle(space);
        space.exclusive(|cx| root.get(cx).set(cx, None));
        eventually(|| drops.count() == 1);
    });
}

#[test]
fn a_guard_that_is_held_for_ever_is_asked_for_the_lock_in_time() {
    with_each_driver(|space| {
        let drops = Drops::new();
        let root =
            space.exclusive(|cx| cx.root(cx.alloc(Slot::new(Some(cx.alloc(drops.probe()))))));
        settle(space);
        let mut lock = space.lock();
        for _ in 0..3 {
            // Old by the time at which it is unlinked.
            let n = space.total_num_completed_gcs();
            lock.scope(|cx| root.get(cx).set(cx, Some(cx.alloc(drops.probe()))));
            while space.total_num_completed_gcs() < n + 2 {
                lock.safepoint();
            }
        }
        lock.scope(|cx| root.get(cx).set(cx, None));
        while drops.count() < 4 {
            lock.safepoint();
        }
    });
}

#[test]
fn a_lower_threshold_number_and_a_larger_size_are_enough() {
    with_each_driver(|space| {
        let pages: Vec<_> = space.exclusive(|cx| {
            let page = |i: u64| {
                let page = cx.evictable_root(cx.alloc(i));
                page.evictable(cx).set_size_bytes(cx, 10);
                page
            };
            (0..4).map(page).collect()
        });
        let resident =
            || space.shared(|cx| pages.iter().filter(|page| !page.is_evicted(cx)).count());
        settle(space);
        space.set_eviction_threshold(30);
        eventually(|| resident() == 3);
        settle(space);
        space.evictor().set_max_evictable_objects(Some(2));
        eventually(|| resident() == 2);
        settle(space);
        // In a shared access, which changes nothing else.
        space.shared(|cx| {
            for page in &pages {
                page.evictable(cx).set_size_bytes(cx, 20);
            }
        });
        eventually(|| resident() == 1);
    });
}

#[test]
fn charges_and_limits_are_changes() {
    with_each_driver(|space| {
        let ledger = space.ledger();
        let collected = |change: &mut dyn FnMut()| {
            settle(space);
            let n = space.total_num_completed_gcs();
            change();
            space.wait_for_gc_after(n, LONG).unwrap();
        };
        let mut charge = None;
        collected(&mut || charge = Some(ledger.try_charge(Category::External, 10).unwrap()));
        collected(&mut || charge.as_mut().unwrap().try_grow(10).unwrap());
        collected(&mut || charge.as_mut().unwrap().shrink(5));
        collected(&mut || drop(charge.take()));
        collected(&mut || _ = ledger.report_external_bytes(100));
        collected(&mut || _ = ledger.report_external_bytes(-100));
        collected(&mut || ledger.set_limit(Some(1 << 30)));
        collected(&mut || ledger.set_soft_limit(Some(1 << 29)));
        collected(&mut || ledger.set_category_limit(Category::Maps, Some(1 << 20)));
    });
}

#[test]
fn memory_beside_the_heap_goes_back_in_time() {
    with_each_driver(|space| {
        let buffer = space.exclusive(|cx| {
            let buffer = DirectBuffer::allocate(cx, 1 << 20).unwrap();
            cx.root(cx.alloc(buffer))
        });
        let arena = space.exclusive(|cx| {
            let arena = AutoArena::new(cx).unwrap();
            arena.allocate(cx, 1 << 20, 16).unwrap();
            cx.own_root(arena)
        });
        let charged = || space.ledger().charged();
        settle(space);
        assert!(charged() >= 2 << 20);
        drop(buffer);
        eventually(|| charged() < 2 << 20);
        settle(space);
        drop(arena);
        eventually(|| charged() == 0);
    });
}

#[test]
fn a_queue_is_told_in_time() {
    with_each_driver(|space| {
        let queue = ReferenceQueue::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
        settle(space);
        let _reference = space.shared(|cx| queue.phantom(cx, root.get(cx), 7));
        settle(space);
        drop(root);
        assert_eq!(queue.wait(LONG), Some(7));
    });
}

/// The handles of merged spaces tell the space that they belong to.
#[test]
fn handles_of_merged_spaces_tell_the_space_that_has_their_objects() {
    with_each_driver(|space| {
        let (drops, others) = (Drops::new(), [CSpace::new(), CSpace::new()]);
        let roots = others.each_ref().map(|other| {
            other.exclusive(|cx| {
                (cx.root(cx.alloc(drops.probe())), cx.own_root(drops_in(cx, &drops)))
            })
        });
        // By way of another one.
        others[1].transfer_from(&others[0]).unwrap();
        space.transfer_from(&others[1]).unwrap();
        settle(space);
        for (i, (root, owned)) in roots.into_iter().enumerate() {
            drop(root);
            eventually(|| drops.count() == 2 * i + 1);
            settle(space);
            drop(owned);
            eventually(|| drops.count() == 2 * i + 2);
            settle(space);
        }
    });
}

fn drops_in<'gc>(cx: &Exclusive<'gc>, drops: &Drops) -> Vec<Gc<'gc, Static<crate::probe::Probe>>> {
    vec![cx.alloc(drops.probe())]
}

#[test]
fn garbage_that_a_merge_brings_is_enough() {
    with_each_driver(|space| {
        let (drops, source) = (Drops::new(), CSpace::builder().gc(GcMode::Manual).build().unwrap());
        settle(space);
        source.exclusive(|cx| cx.alloc(drops.probe()).addr());
        space.transfer_from(&source).unwrap();
        eventually(|| drops.count() == 1);
    });
}

/// A root in a dead object is let go of by the sweep, after the mark of its cycle.
#[test]
fn what_a_sweep_lets_go_of_is_found_by_the_next_collection() {
    with_each_driver(|space| {
        let drops = Drops::new();
        let root = space.exclusive(|cx| {
            let inner = cx.root(cx.alloc(drops.probe()));
            let middle = cx.root(cx.alloc(Static(inner)));
            cx.root(cx.alloc(Static(middle)))
        });
        settle(space);
        drop(root);
        eventually(|| drops.count() == 1);
    });
}

#[test]
fn what_changed_while_nobody_collected_is_found_by_who_starts() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::builder().gc_period(MS).build().unwrap();
        let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
        settle(&space);
        space.stop_gc().unwrap();
        drop(root);
        space.start_gc().unwrap();
        eventually(|| drops.count() == 1);
    });
}

#[test]
fn a_space_in_which_nothing_changes_is_left_alone() {
    with_each_driver(|space| {
        let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
        settle(space);
        let quiet = || {
            let n = space.total_num_completed_gcs();
            // Reads, copies of handles and what was allocated before are no changes.
            assert_eq!(space.shared(|cx| *root.clone().get(cx)), 1);
            space.wait_for_gc_after(n, 100 * MS).is_err()
        };
        assert!((0..10).any(|_| quiet()), "it is collected all the time");
    });
}

#[test]
fn a_shorter_period_acts_at_once_and_one_beyond_the_clock_never() {
    within(|| {
        let drops = Drops::new();
        let space = CSpace::builder().gc_period(Duration::MAX).build().unwrap();
        let garbage = || space.exclusive(|cx| cx.alloc(drops.probe()).addr());
        garbage();
        space.set_milli_secs_per_gc(3_600_000);
        assert_eq!((drops.count(), space.milli_secs_per_gc()), (0, 3_600_000));
        space.set_milli_secs_per_gc(1);
        eventually(|| drops.count() == 1);
        space.set_gc_period(Duration::MAX);
        garbage();
        space.set_milli_secs_per_gc(-1);
        eventually(|| drops.count() == 2);
    });
}

#[test]
fn a_period_may_be_set_by_a_listener() {
    within(|| {
        let (send, listen) = channel::<CSpace>();
        let listen = std::sync::Mutex::new(listen);
        let space = CSpace::builder().on_event(move |_| {
            if let Ok(space) = listen.lock().unwrap().try_recv() {
                space.set_gc_period(MS);
                space.set_gc_period_share(1.0);
            }
        });
        let (space, drops) = (space.build().unwrap(), Drops::new());
        let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
        send.send(space.clone()).unwrap();
        space.synchronous_gc().unwrap();
        drop(root);
        eventually(|| drops.count() == 1);
        assert_eq!(space.gc_period_share(), Some(1.0));
    });
}

#[test]
fn the_share_of_a_period_is_kept_within_what_makes_sense() {
    let space = CSpace::builder().gc_period_share(3.0).build().unwrap();
    assert_eq!(space.gc_period_share(), Some(1.0));
    for (share, kept) in [(0.25, 0.25), (-1.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 1.0)] {
        space.set_gc_period_share(share);
        assert_eq!(space.gc_period_share(), Some(kept));
    }
    assert_eq!(CSpace::builder().build().unwrap().gc_period_share(), Some(0.1));
    let off = CSpace::builder().gc(GcMode::Off).build().unwrap();
    off.set_gc_period_share(1.0);
    assert_eq!(off.gc_period_share(), None);
}

/// It waited for itself, until the time was over.
#[test]
fn who_runs_collections_is_refused_to_wait_for_one() {
    within(|| {
        let (tell, told) = channel();
        let (send, listen) = channel::<WeakCSpace>();
        let listen = std::sync::Mutex::new(listen);
        let space = CSpace::builder().on_event(move |_| {
            let weak = listen.lock().unwrap().try_recv();
            if let Some(space) = weak.ok().and_then(|weak| weak.upgrade()) {
                tell.send(space.wait_for_gc_after(u64::MAX, Duration::MAX)).unwrap();
            }
        });
        let space = space.build().unwrap();
        send.send(space.downgrade()).unwrap();
        space.request_gc();
        assert!(matches!(told.recv().unwrap(), Err(WaitError::FromCollector { .. })));
    });
}
