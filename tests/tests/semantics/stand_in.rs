//! What is due while a driver is stuck in user code: it comes as if the driver were not, but for user code.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use cspace::*;

use crate::probe::{on_drop, Drops};
use crate::watchdog::{eventually, within};

const LONG: Duration = Duration::from_secs(50);
const MS: Duration = Duration::from_millis(1);

/// Who is stuck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Worker,
    Pool,
    /// A thread of the test's, with a [`GcDriver`].
    Driver,
}

const KINDS: [Kind; 3] = [Kind::Worker, Kind::Pool, Kind::Driver];

/// Waits on the thread that runs it for as long as the sender is kept; tells which that is.
fn gate() -> (Sender<()>, Receiver<ThreadId>, impl Fn() + Send + Sync + 'static) {
    let (release, released) = channel::<()>();
    let (says, stuck) = channel();
    let both = Mutex::new((released, says));
    let wait = move || {
        let both = both.lock().unwrap();
        let _ = both.1.send(thread::current().id());
        let _ = both.0.recv();
    };
    (release, stuck, wait)
}

/// Gets the space's driver stuck in a cleaner, until the sender is dropped.
fn stick(space: &CSpace) -> (Sender<()>, ThreadId) {
    let (release, stuck, wait) = gate();
    space.exclusive(|cx| _ = cx.register_cleaner(cx.alloc(1u64), wait));
    space.request_gc();
    (release, stuck.recv().unwrap())
}

/// A thread that collects a space until it is to stop.
fn drive(space: &CSpace) -> JoinHandle<()> {
    let mut driver = space.gc_driver().unwrap();
    thread::spawn(move || {
        while driver.wait_for_garbage_collect() {
            driver.collect();
        }
    })
}

/// Calls `f` with a space of each kind.
fn with_each(build: impl Fn() -> Builder, f: impl Fn(Kind, &CSpace)) {
    for kind in KINDS {
        let pool = GcPool::new(1).unwrap();
        let space = match kind {
            Kind::Worker => build().build(),
            Kind::Pool => build().gc_pool(&pool).build(),
            Kind::Driver => build().gc(GcMode::Manual).build(),
        };
        let space = space.unwrap();
        let thread = (kind == Kind::Driver).then(|| drive(&space));
        f(kind, &space);
        drop((space, pool));
        if let Some(thread) = thread {
            thread.join().unwrap();
        }
    }
}

/// As [`with_each`], while the driver is stuck.
fn with_each_stuck(
    build: impl Fn() -> Builder + Send + 'static,
    f: impl Fn(&CSpace, Sender<()>, ThreadId) + Send + 'static,
) {
    within(move || {
        with_each(&build, |kind, space| {
            println!("{kind:?}");
            let (release, stuck) = stick(space);
            f(space, release, stuck);
        });
    });
}

fn timed() -> Builder {
    CSpace::builder().gc_period(MS)
}

/// Nobody but who drops the roots touches the space: a mutator would collect at the end of an access.
fn reclaimed(space: &CSpace) -> u64 {
    space.stats().objects_reclaimed
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn collections_by_time_go_on_while_the_driver_is_stuck() {
    with_each_stuck(timed, |space, release, _| {
        let (weak, roots): (Vec<_>, Vec<_>) = space.exclusive(|cx| {
            let object = |i: u64| {
                let object = cx.alloc(i);
                (cx.weak_root(object), cx.root(object))
            };
            (0..3).map(object).unzip()
        });
        eventually(|| !space.may_find_more());
        for (weak, root) in weak.iter().zip(roots) {
            let before = reclaimed(space);
            drop(root);
            eventually(|| reclaimed(space) > before);
            assert!(space.shared(|cx| weak.upgrade(cx).is_none()));
            // A space that nothing changes in is left alone.
            eventually(|| !space.may_find_more());
        }
        drop(release);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_request_is_served_while_the_driver_is_stuck() {
    with_each_stuck(CSpace::builder, |space, release, _| {
        for _ in 0..3 {
            let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
            let (before, n) = (reclaimed(space), space.total_num_completed_gcs());
            drop(root);
            space.request_gc();
            space.wait_for_gc_after(n, LONG).unwrap();
            eventually(|| reclaimed(space) > before);
        }
        drop(release);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_period_that_is_set_while_the_driver_is_stuck_counts() {
    with_each_stuck(CSpace::builder, |space, release, _| {
        let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
        drop(root);
        let before = reclaimed(space);
        space.set_gc_period(MS);
        eventually(|| reclaimed(space) > before);
        space.set_gc_period(None);
        drop(release);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn thresholds_hold_in_time_while_the_driver_is_stuck() {
    with_each_stuck(timed, |space, release, stuck| {
        let pages: Vec<_> =
            space.exclusive(|cx| (0..10u64).map(|i| cx.evictable_root(cx.alloc(i))).collect());
        let told = Arc::new(Mutex::new(Vec::new()));
        space.set_eviction_threshold(0);
        eventually(|| space.eviction_stats().objects_evicted == 10);
        assert!(space.shared(|cx| pages.iter().all(|page| page.is_evicted(cx))));
        // With a callback too, which is the driver's.
        let tell = Arc::clone(&told);
        space.on_evict(move |_, _| tell.lock().unwrap().push(thread::current().id()));
        let page = space.exclusive(|cx| cx.evictable_root(cx.alloc(1u64)));
        eventually(|| space.eviction_stats().objects_evicted == 11);
        assert!(told.lock().unwrap().is_empty());
        drop(release);
        eventually(|| *told.lock().unwrap() == [stuck]);
        drop((pages, page));
    });
}

/// Which threads ran user code, and how much.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Vec<ThreadId>>>);

impl Ran {
    fn note(&self) {
        self.0.lock().unwrap().push(thread::current().id());
    }

    fn note_hook(&mut self) {
        self.note();
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[derive(IObject)]
struct Hooked {
    #[cspace(on_collect = "Ran::note_hook")]
    ran: Static<Ran>,
}

/// Kept by a root; runs user code in four ways when it dies.
fn dies_in_every_way(space: &CSpace, ran: &Ran) -> impl Sized {
    space.exclusive(|cx| {
        let (of_cleaner, of_drop, of_value) = (ran.clone(), ran.clone(), ran.clone());
        let object = cx.alloc(1u64);
        cx.register_cleaner(object, move || of_cleaner.note());
        let hooked = cx.alloc(Hooked { ran: Static(ran.clone()) });
        let value = cx.own_root(on_drop(move || of_value.note()));
        (
            cx.root(object),
            cx.root(hooked),
            cx.root(cx.alloc(on_drop(move || of_drop.note()))),
            value,
        )
    })
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn all_user_code_is_left_to_the_driver_in_order_and_runs_once() {
    within(|| {
        for kind in KINDS {
            let told = Arc::new(Mutex::new(Vec::new()));
            let tell = Arc::clone(&told);
            let build = || {
                let tell = Arc::clone(&tell);
                timed().poison_freed(true).on_event(move |event| {
                    if let Event::Collected(report) = event {
                        tell.lock().unwrap().push((report.begun, thread::current().id()));
                    }
                })
            };
            let test = |this, space: &CSpace| {
                if this != kind {
                    return;
                }
                let (release, stuck) = stick(space);
                let ran = Ran::default();
                let told_before = told.lock().unwrap().len();
                let mut kept: Vec<_> = (0..5).map(|_| dies_in_every_way(space, &ran)).collect();
                while let Some(dies) = kept.pop() {
                    let before = reclaimed(space);
                    drop(dies);
                    eventually(|| reclaimed(space) >= before + 3);
                }
                assert_eq!(ran.count(), 0);
                assert_eq!(told.lock().unwrap().len(), told_before);
                assert!(space.verify().unwrap().is_clean());
                drop(release);
                eventually(|| ran.count() == 20);
                // Nothing more comes.
                let n = space.total_num_completed_gcs();
                space.request_gc();
                space.wait_for_gc_after(n, LONG).unwrap();
                assert_eq!(ran.count(), 20);
                assert!(ran.0.lock().unwrap().iter().all(|id| *id == stuck), "{kind:?}");
                eventually(|| told.lock().unwrap().len() >= told_before + 6);
                let told = told.lock().unwrap();
                assert!(told.iter().all(|(_, id)| *id == stuck), "{kind:?}");
                assert!(told.is_sorted_by_key(|(begun, _)| *begun), "{kind:?}: {told:?}");
            };
            with_each(build, test);
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_driver_that_is_let_go_collects_again_itself() {
    with_each_stuck(timed, |space, release, stuck| {
        let drops = Drops::new();
        let root = space.exclusive(|cx| cx.root(cx.alloc(drops.probe())));
        let before = reclaimed(space);
        drop(root);
        eventually(|| reclaimed(space) > before);
        assert_eq!(drops.count(), 0);
        drop(release);
        eventually(|| drops.count() == 1);
        let (again, second) = stick(space);
        assert_eq!(second, stuck);
        let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
        let before = reclaimed(space);
        drop(root);
        eventually(|| reclaimed(space) > before);
        drop(again);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_listener_that_waits_holds_up_no_collection() {
    within(|| {
        let (release, stuck, wait) = gate();
        let space = timed().on_event(move |_| wait()).build().unwrap();
        space.request_gc();
        stuck.recv().unwrap();
        is_collected(&space);
        drop(release);
    });
}

fn pooled(pool: &GcPool) -> CSpace {
    CSpace::builder().gc_pool(pool).build().unwrap()
}

/// That its requests are served, and its period counts.
fn is_collected(space: &CSpace) {
    for period in [None, Some(MS)] {
        space.set_gc_period(period);
        let root = space.exclusive(|cx| cx.root(cx.alloc(1u64)));
        let before = reclaimed(space);
        drop(root);
        if period.is_none() {
            space.request_gc();
        }
        eventually(|| reclaimed(space) > before);
    }
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_space_whose_cleaner_waits_holds_up_no_other_space_of_its_pool() {
    within(|| {
        for threads in [1, 2] {
            let pool = GcPool::new(threads).unwrap();
            let spaces: Vec<_> = (0..20).map(|_| pooled(&pool)).collect();
            let stuck: Vec<_> = spaces[..threads].iter().map(stick).collect();
            let ids: HashSet<_> = stuck.iter().map(|(_, id)| *id).collect();
            assert_eq!(ids.len(), threads);
            let ran = Ran::default();
            for space in &spaces {
                is_collected(space);
                drop(dies_in_every_way(space, &ran));
            }
            // New ones too, and those that leave the pool and come back.
            let late = pooled(&pool);
            is_collected(&late);
            late.stop_gc().unwrap();
            late.start_gc().unwrap();
            is_collected(&late);
            assert!(late.destroy().is_ok());
            for space in &spaces {
                eventually(|| !space.may_find_more());
            }
            assert_eq!(ran.count(), 0);
            drop(stuck);
            eventually(|| ran.count() == 4 * spaces.len());
            assert!(ran.0.lock().unwrap().iter().all(|id| ids.contains(id)));
            spaces.iter().for_each(is_collected);
        }
    });
}

/// The thread is at a space that is gone, and is stuck in what its end runs.
#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_space_whose_end_waits_holds_up_no_other_space_of_its_pool() {
    within(|| {
        let pool = GcPool::new(1).unwrap();
        let (ends, other) = (pooled(&pool), pooled(&pool));
        let (end, ended, wait) = gate();
        ends.exclusive(|cx| {
            let object = cx.alloc(1u64);
            cx.add_gc_root(object).unwrap();
            cx.register_cleaner(object, wait);
        });
        let (release, stuck) = stick(&ends);
        // The thread has the last handle.
        drop(ends);
        drop(release);
        assert_eq!(ended.recv().unwrap(), stuck);
        is_collected(&other);
        drop(end);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn of_a_pool_with_a_free_thread_the_space_that_is_stuck_is_collected_too() {
    within(|| {
        let pool = GcPool::new(2).unwrap();
        let (a, b) = (pooled(&pool), pooled(&pool));
        let stuck = stick(&a);
        is_collected(&a);
        is_collected(&b);
        drop(stuck);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_space_may_be_stopped_destroyed_and_merged_while_its_driver_is_stuck() {
    within(|| {
        with_each(timed, |kind, space| {
            let (release, _) = stick(space);
            let target = CSpace::builder().gc(GcMode::Manual).build().unwrap();
            let root = space.exclusive(|cx| cx.root(cx.alloc(7u64)));
            target.transfer_from(space).unwrap();
            is_collected(space);
            assert_eq!(target.shared(|cx| *root.get(cx)), 7);
            let stopping = space.clone();
            let stops = thread::spawn(move || stopping.stop_gc());
            // The stop waits for the driver.
            drop(release);
            stops.join().unwrap().unwrap();
            assert!(!space.is_gc_running(), "{kind:?}");
            let n = space.total_num_completed_gcs();
            space.exclusive(|cx| _ = cx.alloc(1u64).addr());
            thread::sleep(5 * MS);
            assert_eq!(space.total_num_completed_gcs(), n, "a collection after the stop");
        });
        for kind in [Kind::Worker, Kind::Pool] {
            let pool = GcPool::new(1).unwrap();
            let builder = if kind == Kind::Pool { timed().gc_pool(&pool) } else { timed() };
            let space = builder.build().unwrap();
            let (release, _) = stick(&space);
            is_collected(&space);
            let destroys = thread::spawn(move || space.destroy().is_ok());
            drop(release);
            assert!(destroys.join().unwrap(), "{kind:?}");
        }
    });
}

/// A rest that is left while its thread runs the one before, again and again.
#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_pool_serves_its_other_spaces_though_one_is_left_more_and_more_to_run() {
    within(|| {
        let pool = GcPool::new(1).unwrap();
        let (busy, other) = (pooled(&pool), pooled(&pool));
        let ran = Ran::default();
        let dies = dies_in_every_way(&other, &ran);
        let (mut release, _) = stick(&busy);
        let mut dies = Some(dies);
        for i in 0..8 {
            let (next, stuck, wait) = gate();
            let before = reclaimed(&busy);
            busy.exclusive(|cx| _ = cx.register_cleaner(cx.alloc(1u64), wait));
            busy.request_gc();
            eventually(|| reclaimed(&busy) > before);
            // The thread is in what was left for it by then.
            if let Some(dies) = dies.take_if(|_| i == 2) {
                let before = reclaimed(&other);
                drop(dies);
                other.request_gc();
                eventually(|| reclaimed(&other) > before);
                assert_eq!(ran.count(), 0);
            }
            drop(core::mem::replace(&mut release, next));
            stuck.recv().unwrap();
        }
        assert_eq!(ran.count(), 4);
        drop(release);
    });
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn events_that_no_listener_is_told_of_are_counted() {
    within(|| {
        for threads in [0, 1] {
            let told = Arc::new(Mutex::new(0));
            let tell = Arc::clone(&told);
            let builder = CSpace::builder().on_event(move |event| {
                *tell.lock().unwrap() += u64::from(matches!(event, Event::Collected(_)));
            });
            let space = match threads {
                0 => builder.build(),
                threads => builder.gc_pool(&GcPool::new(threads).unwrap()).build(),
            };
            let space = space.unwrap();
            let (release, _) = stick(&space);
            space.set_gc_period(Some(Duration::ZERO));
            eventually(|| space.stats().events_dropped > 10);
            space.set_gc_period(None);
            drop(release);
            space.stop_gc().unwrap();
            let stats = space.stats();
            assert_eq!(*told.lock().unwrap() + stats.events_dropped, stats.cycles);
        }
    });
}

struct PanicsOnVisit(Arc<AtomicBool>);

impl Rootable for PanicsOnVisit {
    type At<'gc> = PanicsOnVisit;
}

// SAFETY: it has no edges.
unsafe impl<'gc> IObject<'gc> for PanicsOnVisit {
    type R = PanicsOnVisit;
    fn visit_objects(&self, _: &mut Visitor<'_>) {
        assert!(!self.0.load(Relaxed), "cannot look");
    }
}

#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_collection_that_is_given_up_while_the_driver_is_stuck_is_counted_then_and_told_later() {
    // Of the space that was built last.
    let told = Arc::new(Mutex::new(Arc::new(AtomicUsize::new(0))));
    let last = Arc::clone(&told);
    let build = move || {
        let tell = Arc::new(AtomicUsize::new(0));
        *last.lock().unwrap() = Arc::clone(&tell);
        CSpace::builder().on_event(move |event| {
            let is_one = matches!(event, Event::CollectionAbandoned { .. });
            tell.fetch_add(usize::from(is_one), Relaxed);
        })
    };
    with_each_stuck(build, move |space, release, _| {
        let panics = Arc::new(AtomicBool::new(false));
        let of_object = Arc::clone(&panics);
        let root = space.exclusive(|cx| cx.root(cx.alloc(PanicsOnVisit(of_object))));
        let told = Arc::clone(&told.lock().unwrap());
        panics.store(true, Relaxed);
        space.request_gc();
        eventually(|| space.stats().cycles_abandoned > 0);
        assert_eq!(told.load(Relaxed), 0);
        panics.store(false, Relaxed);
        drop(release);
        eventually(|| told.load(Relaxed) > 0);
        drop(root);
    });
}

/// How many threads there are whose name begins so. Systems show fifteen bytes.
#[cfg(target_os = "linux")]
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|found| found.starts_with(name)).count()
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(miri, ignore = "there are no stand-ins")]
fn a_stand_in_is_started_when_it_may_be_needed_and_ends_with_its_driver() {
    within(|| {
        for (name, kind) in [("lingerer 1", Kind::Worker), ("lingerer 2", Kind::Driver)] {
            for is_stopped in [false, true] {
                let build = || CSpace::builder().name(name);
                with_each(build, |this, space| {
                    if this != kind {
                        return;
                    }
                    let count = || threads_named(&format!("gc+ {name}"));
                    // Neither period nor request.
                    space.request_gc();
                    space.wait_for_gc_after(0, LONG).unwrap();
                    assert_eq!(count(), 0);
                    let (release, _) = stick(space);
                    is_collected(space);
                    assert_eq!(count(), 1);
                    drop(release);
                    if is_stopped {
                        space.stop_gc().unwrap();
                        eventually(|| count() == 0);
                    }
                });
                eventually(|| threads_named(&format!("gc+ {name}")) == 0);
            }
        }
    });
}
