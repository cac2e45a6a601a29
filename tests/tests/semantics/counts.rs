//! Counts of objects and bytes, at any time.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use cspace::*;

use crate::watchdog::within;

#[test]
#[cfg_attr(miri, ignore = "9,000 objects")]
fn objects_are_counted_exactly_whatever_their_type() {
    let space = CSpace::new();
    let mut expected = 0;
    space.exclusive(|cx| {
        for i in 0..3000u64 {
            cx.alloc(i);
            cx.alloc(Slot::new(i));
            cx.alloc_slice(i as usize % 50, |_| i);
            expected += 3;
            assert_eq!(cx.num_objects(), expected);
        }
        cx.alloc_slice_copy(&[0u8; 100_000]);
        cx.downgrade(cx.alloc(()));
        expected += 3;
        assert_eq!(cx.as_shared().num_objects(), expected);
    });
    assert_eq!(space.num_objects(), expected);
    assert_eq!(space.shared(|cx| cx.num_objects()), expected);
    space.exclusive(|_| assert_eq!(space.num_objects(), expected, "inside, by the handle"));
    space.shared(|_| assert_eq!(space.num_objects(), expected));
    assert_eq!(space.collect().unwrap().objects_reclaimed, expected);
    assert_eq!(space.num_objects(), 0);
}

#[test]
fn verifying_changes_no_count() {
    const COUNT: usize = if cfg!(miri) { 7 } else { 777 };
    let space = CSpace::new();
    for round in 1..=5 {
        space.exclusive(|cx| (0..COUNT).for_each(|i| _ = cx.alloc(i)));
        let memory = space.memory();
        for _ in 0..2 {
            assert_eq!(space.verify().unwrap().objects, round * COUNT);
            assert_eq!(space.num_objects(), round * COUNT);
        }
        assert!(space.memory().allocated <= memory.allocated);
    }
    space.collect().unwrap();
    assert_eq!(space.num_objects(), 0);
}

fn ordered(memory: MemoryStats) -> MemoryStats {
    assert!(memory.reserved >= memory.committed, "{memory:?}");
    assert!(memory.committed >= memory.allocated, "{memory:?}");
    assert!(memory.allocated >= memory.live, "{memory:?}");
    memory
}

#[test]
#[cfg_attr(miri, ignore = "20,000 objects")]
fn bytes_are_ordered_and_come_back() {
    let space = CSpace::new();
    let empty = ordered(space.memory());
    assert_eq!((empty.committed, empty.allocated, empty.live), (0, 0, 0));
    let roots: Vec<_> = space.exclusive(|cx| {
        (0..20_000u64).map(|i| cx.alloc([i; 4])).step_by(4).map(|gc| cx.root(gc)).collect()
    });
    let full = ordered(space.memory());
    assert!(full.allocated >= 20_000 * 32 && full.live == 0);
    space.collect().unwrap();
    let quarter = ordered(space.memory());
    assert_eq!((quarter.live, quarter.allocated), (5_000 * 32, 5_000 * 32));
    drop(roots);
    space.collect().unwrap();
    let after = ordered(space.memory());
    assert_eq!((after.live, after.allocated), (0, 0));
    // The pages are given back when the mutator next looks.
    space.exclusive(|cx| cx.alloc([0u64; 4]).addr());
    assert!(ordered(space.memory()).committed <= 64 << 10);
}

#[test]
fn bytes_owned_outside_of_the_heap_are_measured() {
    let space = CSpace::new();
    let root = space.exclusive(|cx| {
        cx.alloc(vec![0u8; 1 << 20]);
        cx.root(cx.alloc((String::with_capacity(5000), Box::new([0u64; 100]))))
    });
    space.collect().unwrap();
    assert_eq!(space.memory().external, 5800);
    drop(root);
    space.collect().unwrap();
    assert_eq!(space.memory().external, 0);
}

/// A program that grows tables allocates few objects; paced by its objects alone it never collected.
#[test]
#[cfg_attr(miri, ignore = "allocates until the budget is used up")]
fn a_program_that_only_grows_tables_collects_too() {
    let space = CSpace::builder().gc(GcMode::Safepoints).gc_budget_floor(1 << 20).build().unwrap();
    let mut lock = space.lock();
    let mut table = lock.scope(|cx| cx.own_root(Vec::<Gc<'_, Vec<u64>>>::new()));
    for i in 0..60u64 {
        lock.scope_mut(&mut table, |cx, table| {
            table.push(cx.alloc(vec![i; 16 << 10]));
            if table.len() == 10 {
                table.clear();
            }
            // What a real program allocates besides.
            for _ in 0..2000 {
                cx.alloc(i);
            }
        });
        lock.safepoint();
    }
    let cycles = space.total_num_completed_gcs();
    assert!(cycles >= 4, "{cycles} cycles for 7 MiB of tables and 2 MiB of objects");
}

#[test]
#[cfg_attr(miri, ignore = "up to 200,000 objects")]
fn counts_are_read_while_writers_and_collections_run() {
    within(|| {
        let space = CSpace::builder().gc_budget_floor(64 << 10).build().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !done.load(SeqCst) {
                    assert!(space.num_objects() <= 2 * 100 * 1000);
                    ordered_loosely(space.memory());
                    let _ = (space.num_roots(), space.stats(), space.total_num_completed_gcs());
                }
            });
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    threads.spawn(|| {
                        for _ in 0..100 {
                            space.exclusive(|cx| (0..1000u64).for_each(|i| _ = cx.alloc(i)));
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, SeqCst);
        });
        space.collect().unwrap();
        assert_eq!(space.num_objects(), 0);
    });
    /// The counts are read one after the other, so only what holds for each moment's neighbours is sure.
    fn ordered_loosely(memory: MemoryStats) {
        assert!(memory.committed >= memory.allocated && memory.allocated >= memory.live);
    }
}
