//! Where the user's code of a collection runs, and what waits for it.

use std::collections::HashSet;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use cspace::collector::{ForCollectors, LockWait, MarkPhase, Remains};
use cspace::*;

use crate::probe::{on_drop, Drops};
use crate::watchdog::{eventually, within};

/// Which threads ran something.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<HashSet<ThreadId>>>);

impl Threads {
    fn note(&self) {
        self.0.lock().unwrap().insert(thread::current().id());
    }

    fn noted(&self) -> HashSet<ThreadId> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(IObject)]
struct Hooked {
    #[cspace(on_collect = "Threads::note_hook")]
    threads: Static<Threads>,
}

impl Threads {
    fn note_hook(&mut self) {
        self.note();
    }
}

/// Dies in every way that runs user code, and is so much that no driver keeps up.
fn die_in_every_way(space: &CSpace, threads: &Threads) {
    space.exclusive(|cx| {
        let (of_cleaner, of_drop) = (threads.clone(), threads.clone());
        let object = cx.alloc(1u64);
        cx.register_cleaner(object, move || of_cleaner.note());
        cx.alloc(on_drop(move || of_drop.note()));
        cx.alloc(Hooked { threads: Static(threads.clone()) });
        drop(cx.own_root(Threads::on_drop(threads)));
        for _ in 0..64 {
            cx.alloc_slice_copy(&[0u64; 16 << 10]);
        }
    });
}

impl Threads {
    fn on_drop(threads: &Threads) -> Static<crate::probe::OnDrop> {
        let threads = threads.clone();
        on_drop(move || threads.note())
    }
}

/// A program that held a lock of its own around its accesses hung: a cleaner that takes that lock ran at the end of one.
#[test]
#[cfg_attr(miri, ignore = "100 rounds")]
fn beside_a_driver_no_mutator_runs_user_code_of_others() {
    within(|| {
        let pool = GcPool::new(1).unwrap();
        for pooled in [false, true] {
            let threads = Threads::default();
            let of_listener = threads.clone();
            let builder = CSpace::builder().gc_budget_floor(1 << 20);
            let builder = builder.on_event(move |_| of_listener.note());
            let builder = if pooled { builder.gc_pool(&pool) } else { builder };
            let space = builder.build().unwrap();
            for _ in 0..100 {
                die_in_every_way(&space, &threads);
            }
            eventually(|| !threads.noted().is_empty());
            assert!(!threads.noted().contains(&thread::current().id()), "pooled: {pooled}");
            // It ends on the thread that lets go last, which may run all of it.
            drop(space);
        }
    });
}

#[test]
fn an_explicit_collection_runs_user_code_on_its_caller() {
    within(|| {
        let threads = Threads::default();
        let space = CSpace::builder().gc(GcMode::Manual).build().unwrap();
        die_in_every_way(&space, &threads);
        let report = space.synchronous_gc().unwrap();
        assert!(!report.sweep_deferred);
        assert_eq!(threads.noted(), HashSet::from([thread::current().id()]));
    });
}

/// Something that runs when an object has died, and waits.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Cleaner,
    Drop,
    OwnedValue,
}

/// Makes an object whose death is waited for by nobody until the sender is dropped; the receiver is told when it waits.
fn waits_in(space: &CSpace, what: Waits) -> (Sender<()>, Receiver<()>) {
    let (release, released) = channel::<()>();
    let (say, waits) = channel();
    let released = Mutex::new(released);
    let wait = move || {
        let _ = say.send(());
        let _ = released.lock().unwrap().recv();
    };
    space.exclusive(|cx| match what {
        Waits::Cleaner => _ = cx.register_cleaner(cx.alloc(1u64), wait),
        Waits::Drop => _ = cx.alloc(on_drop(wait)),
        Waits::OwnedValue => drop(cx.own_root(on_drop(wait))),
    });
    (release, waits)
}

/// A cleaner that waited stopped all collection of its space, until an allocation failed though all was garbage.
#[test]
#[cfg_attr(miri, ignore = "millions of objects")]
fn user_code_that_waits_keeps_no_memory_from_being_reclaimed() {
    within(|| {
        let pool = GcPool::new(1).unwrap();
        for what in [Waits::Cleaner, Waits::Drop, Waits::OwnedValue] {
            for pooled in [false, true] {
                let drops = Drops::new();
                let builder = CSpace::builder().max_heap_bytes(8 << 20);
                let builder = if pooled { builder.gc_pool(&pool) } else { builder };
                let space = builder.build().unwrap();
                let (release, waits) = waits_in(&space, what);
                space.request_gc();
                waits.recv().unwrap();
                // Twenty times what fits.
                let before = space.total_num_completed_gcs();
                for _ in 0..2000 {
                    space.exclusive(|cx| {
                        cx.alloc(drops.probe());
                        (0..640).for_each(|i| _ = cx.alloc([i as u64; 16]));
                        // What the standard library owns waits for nobody either.
                        (0..20)
                            .for_each(|_| _ = cx.alloc(GcCell::new(vec![String::from("text"); 2])));
                    });
                }
                assert!(space.total_num_completed_gcs() > before, "{what:?}, pooled: {pooled}");
                let report = space.synchronous_gc().unwrap();
                assert!(report.sweep_deferred, "another thread's drop was waited for: {what:?}");
                assert_eq!(space.num_objects(), 0);
                assert!(space.verify().unwrap().is_clean());
                drop(release);
                eventually(|| drops.count() == 2000);
            }
        }
    });
}

/// A space whose collections the test runs.
struct Phases {
    space: Space,
}

impl Phases {
    /// Runs a cycle up to the end of its sweep.
    fn sweep(&self) -> Remains {
        let claim = self.space.try_claim_cycle().expect("no cycle is under way");
        let mut phase = MarkPhase::begin(claim, LockWait::FOREVER).unwrap();
        phase.mark().unwrap();
        let finish = phase.try_finish(Duration::from_secs(60)).ok().expect("nobody is inside");
        finish.condemn().unwrap().0.sweep()
    }

    fn check(&self) {
        let report = self.space.verify().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

/// Objects with drops, several to a page.
fn roots_of(
    space: &Space,
    drops: &Drops,
    count: usize,
) -> Vec<GcRoot<Static<crate::probe::Probe>>> {
    space.exclusive(|cx| (0..count).map(|_| cx.root(cx.alloc(drops.probe()))).collect())
}

#[test]
fn later_cycles_collect_beside_what_waits_for_its_drop() {
    const EACH: usize = if cfg!(miri) { 20 } else { 1000 };
    const FRESH: usize = EACH / 10;
    for poison in [false, true] {
        let space = Space::builder().poison_freed(poison).build().unwrap();
        let (phases, drops) = (Phases { space: space.clone() }, Drops::new());
        // One object in four stays to the end, one dies in each of three cycles.
        let mut roots = roots_of(&space, &drops, 4 * EACH);
        let mut remains = Vec::new();
        for cycle in 0..3 {
            let mut i = 0;
            roots.retain(|_| {
                i += 1;
                i % (4 - cycle) != 0
            });
            remains.push(phases.sweep());
            phases.check();
            assert_eq!((drops.count(), space.num_objects()), (0, (3 - cycle) * EACH));
            // What is made now is not made where something waits.
            roots_of(&space, &Drops::new(), FRESH).clear();
        }
        // The last first.
        for (i, remains) in remains.into_iter().rev().enumerate() {
            assert_eq!(
                remains.run().ok().unwrap().objects_reclaimed,
                if i == 2 { EACH } else { EACH + FRESH }
            );
            assert_eq!(drops.count(), (i + 1) * EACH);
            phases.check();
        }
        drop(roots);
        phases.sweep().run().ok().unwrap();
        assert_eq!((drops.count(), space.num_objects()), (4 * EACH, 0));
        phases.check();
        let again = roots_of(&space, &drops, 4 * EACH);
        phases.check();
        assert!(space.memory().committed <= 1 << 20, "room that waited was not found again");
        drop((again, space, phases));
        assert_eq!(drops.count(), 8 * EACH);
    }
}

#[test]
fn what_waits_for_its_drop_goes_along_with_a_merge_and_keeps_the_space() {
    const COUNT: usize = if cfg!(miri) { 40 } else { 1000 };
    let (source, target) = (Space::builder().build().unwrap(), Space::builder().build().unwrap());
    let (of_source, of_target) =
        (Phases { space: source.clone() }, Phases { space: target.clone() });
    let drops = Drops::new();
    let mut roots = roots_of(&source, &drops, COUNT);
    roots.truncate(COUNT / 2);
    let first = of_source.sweep();
    target.transfer_from(&source).unwrap();
    of_source.check();
    of_target.check();
    roots.truncate(COUNT / 4);
    let second = of_target.sweep();
    of_target.check();
    assert_eq!((drops.count(), target.num_objects()), (0, COUNT / 4));
    first.run().ok().unwrap();
    assert_eq!(drops.count(), COUNT / 2);
    of_target.check();
    // The last handles of both but for that of what remains.
    let weak = target.downgrade();
    drop((source, of_source, target, of_target, roots));
    assert!(weak.upgrade().is_some());
    second.run().ok().unwrap();
    assert!(weak.upgrade().is_none());
    assert_eq!(drops.count(), COUNT);
}

#[test]
fn what_remains_is_left_for_later_where_it_may_not_run() {
    let (space, other) = (Space::builder().build().unwrap(), Space::builder().build().unwrap());
    let drops = Drops::new();
    drop(roots_of(&space, &drops, 10));
    let remains = Phases { space: space.clone() }.sweep();
    assert!(!remains.is_empty());
    let remains = other.exclusive(|_| *remains.run().expect_err("a space is held"));
    other.exclusive(|_| drop(remains));
    eventually(|| drops.count() == 10);
}

#[test]
fn user_code_that_takes_long_is_told_of_with_the_type_of_its_object() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let space = CSpace::builder()
        .gc(GcMode::Manual)
        .on_event(move |event| {
            if let Event::SlowUserCode(slow) = event {
                tell.lock().unwrap().push(slow.clone());
            }
        })
        .build()
        .unwrap();
    let long = || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(101) {
            thread::sleep(Duration::from_millis(10));
        }
    };
    space.exclusive(|cx| {
        cx.register_cleaner(cx.alloc("text".to_string()), long);
        cx.alloc(on_drop(long));
    });
    space.synchronous_gc().unwrap();
    let told = told.lock().unwrap();
    let told: Vec<_> = told.iter().map(|slow| (slow.what, slow.type_name)).collect();
    assert!(told.contains(&(UserCode::Cleaner, "alloc::string::String")), "{told:?}");
    let is_drop =
        |(what, name): &(UserCode, &str)| *what == UserCode::Drop && name.contains("OnDrop");
    assert!(told.iter().any(is_drop), "{told:?}");
}
