//! Arenas of all kinds: what coffi's and the JDK's do (SPEC.md 2.1).

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use allocator_api2::boxed::Box as BoxIn;
use allocator_api2::vec::Vec as VecIn;
use cspace::*;
use cspace_native::*;

use crate::probe::manual;
use crate::watchdog::{panic_of, within};

const NATIVE: ByteOrder = ByteOrder::Native;

fn charged(ledger: &Ledger) -> usize {
    ledger.account(Category::Arenas).bytes
}

#[test]
fn memory_is_zero_filled_aligned_and_apart() {
    let ledger = Ledger::default();
    let confined = ConfinedArena::new(&ledger).unwrap();
    let shared = SharedArena::new(&ledger).unwrap();
    let mut ranges = Vec::new();
    for i in 0..if cfg!(miri) { 28usize } else { 300 } {
        let (bytes, align) = (i * 37 % 1000, 1 << (i % 14));
        let mut segments =
            [confined.allocate(bytes, align).unwrap(), GlobalArena.allocate(bytes, align).unwrap()];
        for segment in &mut segments {
            assert_eq!((segment.len(), segment.as_ptr().addr() % align), (bytes, 0));
            assert!(segment.iter().all(|byte| *byte == 0));
            segment.fill(1);
            ranges.push((segment.as_ptr().addr(), bytes));
        }
        let mut segment = shared.allocate(bytes, align).unwrap();
        let mut acquired = segment.acquire_mut().unwrap();
        assert!(acquired.iter().all(|byte| *byte == 0));
        acquired.fill(2);
        ranges.push((acquired.as_ptr().addr(), bytes));
    }
    ranges.retain(|(_, bytes)| *bytes > 0);
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0));
    assert!(GlobalArena.ledger().account(Category::Arenas).bytes > 0);
    assert!(confined.used_bytes() > 0 && confined.bytes() >= confined.used_bytes());
    drop((confined, shared));
    assert_eq!(charged(&ledger), 0);
}

#[test]
#[cfg_attr(miri, ignore = "asks for more memory than there is, which ends Miri")]
fn sizes_and_alignments_that_cannot_be_are_errors() {
    let ledger = Ledger::default();
    let confined = ConfinedArena::new(&ledger).unwrap();
    let shared = SharedArena::new(&ledger).unwrap();
    let checked = CheckedArena::new(&ledger).unwrap();
    for align in [0, 3, 24, usize::MAX] {
        let refused = ArenaError::Align { align };
        assert_eq!(confined.allocate(8, align).unwrap_err(), refused);
        assert_eq!(shared.allocate(8, align).unwrap_err(), refused);
        assert_eq!(checked.allocate(8, align).unwrap_err(), refused);
        assert_eq!(GlobalArena.allocate(8, align).unwrap_err(), refused);
        let bytes = &mut [0; 10];
        assert_eq!(SlicingAllocator::new(SegmentMut::new(bytes)).allocate(1, align), Err(refused));
        assert_eq!(PrefixAllocator::new(SegmentMut::new(bytes)).allocate(1, align), Err(refused));
    }
    for bytes in [usize::MAX, isize::MAX as usize, isize::MAX as usize - 5000] {
        let refused = confined.allocate(bytes, 1).unwrap_err();
        assert!(matches!(refused, ArenaError::Native(NativeError::System(_))), "{refused}");
        assert!(shared.allocate(bytes, 1).is_err() && checked.allocate(bytes, 4096).is_err());
        assert!(GlobalArena.allocate(bytes, 1).is_err());
    }
    assert_eq!(confined.allocate(0, 1 << 20).unwrap().len(), 0);
    assert_eq!(charged(&ledger), 0);
}

#[test]
fn an_arena_may_have_a_limit_of_its_own_and_the_ledger_has_one() {
    let ledger = Ledger::default();
    let confined = ConfinedArena::with_limit(&ledger, 100).unwrap();
    confined.allocate(60, 1).unwrap();
    let refused = confined.allocate(41, 1).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "41 bytes more would pass the arena's limit of 100 bytes (60 in use)"
    );
    confined.allocate(40, 1).unwrap();
    let shared = SharedArena::with_limit(&ledger, 10).unwrap();
    assert!(shared.allocate(11, 1).is_err() && shared.allocate(10, 1).is_ok());
    ledger.set_category_limit(Category::Arenas, Some(charged(&ledger) + 100));
    let other = ConfinedArena::new(&ledger).unwrap();
    assert!(matches!(other.allocate(101, 1), Err(ArenaError::Native(NativeError::Memory(_)))));
    other.allocate(100, 1).unwrap();
}

#[test]
fn segments_are_sliced_copied_compared_read_and_written() {
    let arena = ConfinedArena::new(&Ledger::default()).unwrap();
    let mut segment = arena.allocate_from(b"0123456789").unwrap();
    segment.set(1, 0x4142_u16, ByteOrder::Big).unwrap();
    segment.set(3, 0x4344_u16, ByteOrder::Little).unwrap();
    assert_eq!(&*segment, b"0ABDC56789");
    assert_eq!(segment.get::<u32>(1, ByteOrder::Big), Ok(0x4142_4443));
    segment.copy_from(8, b"xy").unwrap();
    let out = OutOfRange { offset: 9, len: 2, of: 10 };
    assert_eq!(segment.copy_from(9, b"xy"), Err(out));
    assert_eq!(segment.get::<u16>(9, NATIVE), Err(out));
    assert_eq!(segment.set(9, 1u16, NATIVE), Err(out));
    assert_eq!(out.to_string(), "2 bytes from 9 on do not lie within a segment of 10 bytes");
    assert!(segment.get::<u64>(usize::MAX, NATIVE).is_err());
    segment.slice_mut(5..8).unwrap().fill(b'-');
    assert!(segment.slice_mut(5..11).is_err() && segment.slice(11..).is_err());
    let whole = segment.freeze();
    assert_eq!(&*whole, b"0ABDC---xy");
    let part = whole.slice(1..=4).unwrap();
    assert_eq!((part.as_slice(), part.address() - whole.address()), (&b"ABDC"[..], 1));
    assert_eq!(part, Segment::new(b"ABDC"));
    assert_eq!(part.get::<i8>(0, NATIVE), Ok(b'A' as i8));
    let lens: Vec<_> = whole.slices(4).map(|part| part.len()).collect();
    assert_eq!(lens, [4, 4, 2]);
    assert!(Segment::EMPTY.is_empty() && Segment::EMPTY.slice(1..).is_err());
    let (before, after) = arena.allocate(10, 1).unwrap().split_at(4).unwrap();
    assert_eq!((before.len(), after.len()), (4, 6));
    assert!(after.split_at(7).is_err());
}

#[test]
fn close_actions_run_most_recent_first_whatever_panics() {
    let log = Rc::<RefCell<Vec<i32>>>::default();
    let note = |number| {
        let log = Rc::clone(&log);
        move || log.borrow_mut().push(number)
    };
    let ledger = Ledger::default();
    let arena = ConfinedArena::new(&ledger).unwrap();
    arena.allocate(10, 1).unwrap();
    arena.on_close(note(1));
    arena.on_close(|| panic!("one"));
    arena.on_close(note(2));
    arena.on_close(|| panic!("two"));
    let panics = arena.close().unwrap_err();
    assert_eq!(
        (panics.messages.as_slice(), log.take()),
        (&["two".to_string(), "one".to_string()][..], vec![2, 1])
    );
    let arena = ConfinedArena::new(&ledger).unwrap();
    arena.on_close(note(3));
    arena.on_close(|| panic!("in a drop"));
    assert!(panic_of(|| drop(arena)).ends_with("in a drop"));
    assert_eq!((log.take(), charged(&ledger)), (vec![3], 0));

    let shared_log = Arc::<Mutex<Vec<i32>>>::default();
    let note = |number| {
        let log = Arc::clone(&shared_log);
        move || log.lock().unwrap().push(number)
    };
    for closes in [true, false] {
        let arena = SharedArena::new(&ledger).unwrap();
        let _segment = arena.allocate(10, 1).unwrap();
        arena.on_close(note(1));
        arena.on_close(|| panic!("one"));
        arena.on_close(note(2));
        if closes {
            assert_eq!(arena.close().unwrap().unwrap_err().messages, ["one"]);
            // It lost: at once.
            arena.on_close(note(9));
            assert_eq!(std::mem::take(&mut *shared_log.lock().unwrap()), [2, 1, 9]);
        } else {
            drop(_segment);
            assert!(panic_of(|| drop(arena)).ends_with("one"));
            assert_eq!(std::mem::take(&mut *shared_log.lock().unwrap()), [2, 1]);
        }
        assert_eq!(charged(&ledger), 0);
    }
}

#[test]
fn a_shared_arena_is_closed_once_and_not_while_it_is_acquired() {
    let ledger = Ledger::default();
    let arena = SharedArena::new(&ledger).unwrap();
    let mut segment = arena.allocate(10, 1).unwrap();
    let (a, b) = (segment.acquire().unwrap(), segment.acquire().unwrap());
    assert_eq!(arena.close().unwrap_err(), ArenaError::Acquired { count: 2 });
    assert_eq!(
        arena.close().unwrap_err().to_string(),
        "the arena is acquired by 2: it can be closed when they have released it"
    );
    drop((a, b));
    let open = arena.keep_open().unwrap();
    assert_eq!(arena.close().unwrap_err(), ArenaError::Acquired { count: 1 });
    drop(open);
    segment.acquire_mut().unwrap()[9] = 1;
    assert_eq!(segment.with(|bytes| bytes[9]), Ok(1));
    assert!(!arena.is_closed() && arena.used_bytes() == 10);
    arena.clone().close().unwrap().unwrap();
    assert!(arena.is_closed());
    assert_eq!(charged(&ledger), 0, "the memory is gone, though a segment is there");
    assert_eq!(arena.close().unwrap_err(), ArenaError::Closed);
    assert_eq!(segment.acquire().map(drop), Err(ArenaError::Closed));
    assert_eq!(segment.acquire_mut().map(drop), Err(ArenaError::Closed));
    assert_eq!(segment.with(|_| ()), Err(ArenaError::Closed));
    assert_eq!(arena.allocate(1, 1).map(drop), Err(ArenaError::Closed));
    assert!(arena.keep_open().is_err() && arena.allocator().is_err());
    let (before, after) = segment.split_at(3).unwrap();
    assert_eq!((before.len(), after.len()), (3, 7));
    assert!(after.acquire().is_err() && after.split_at(8).is_err());
}

#[test]
fn a_close_action_finds_the_arena_closed() {
    let arena = SharedArena::new(&Ledger::default()).unwrap();
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let (inside, log) = (arena.clone(), Arc::clone(&seen));
    arena.on_close(move || {
        let note = |what: ArenaError| log.lock().unwrap().push(what.to_string());
        note(inside.close().unwrap_err());
        note(inside.allocate(1, 1).map(drop).unwrap_err());
        let log = Arc::clone(&log);
        inside.on_close(move || log.lock().unwrap().push("at once".to_string()));
    });
    arena.close().unwrap().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen[0] == ArenaError::Closed.to_string() && seen[1] == seen[0]);
    assert_eq!(seen[2], "at once");
}

#[test]
fn segments_of_a_shared_arena_are_used_by_many_threads() {
    let arena = SharedArena::new(&Ledger::default()).unwrap();
    let segment = arena.allocate(4000, 8).unwrap();
    let (first, second) = segment.split_at(2000).unwrap();
    let mut parts = [first, second];
    thread::scope(|threads| {
        for (i, part) in parts.iter_mut().enumerate() {
            threads.spawn(move || part.acquire_mut().unwrap().fill(i as u8 + 1));
        }
    });
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let sum = |part: &SharedSegment| {
                    part.with(|bytes| bytes.iter().map(|b| *b as u32).sum::<u32>())
                };
                assert_eq!(parts.each_ref().map(|part| sum(part).unwrap()), [2000, 4000]);
            });
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "10,000 elements")]
fn collections_live_in_arenas_and_keep_shared_ones_open() {
    let confined = ConfinedArena::new(&Ledger::default()).unwrap();
    let mut list = VecIn::new_in(&confined);
    (0..10_000u64).for_each(|i| list.push(i));
    assert_eq!(list.iter().sum::<u64>(), 49_995_000);
    let used = confined.used_bytes();
    drop(list);
    // What was given out last is taken back.
    assert!(confined.used_bytes() < used);
    let boxed = BoxIn::new_in("text".to_string(), &confined);
    assert_eq!(*boxed, "text");
    drop(boxed);
    confined.close().unwrap();

    let arena = SharedArena::new(&Ledger::default()).unwrap();
    let allocator = arena.allocator().unwrap();
    let mut list = VecIn::new_in(allocator.clone());
    list.extend(0..1000u32);
    drop(allocator);
    assert_eq!(arena.close().unwrap_err(), ArenaError::Acquired { count: 1 });
    let list = thread::spawn(move || list).join().unwrap();
    assert_eq!(list[999], 999);
    drop(list);
    arena.close().unwrap().unwrap();
}

#[test]
fn foreign_memory_is_adopted_and_its_cleanup_may_read_it() {
    let foreign = || NonNull::from(Box::leak(vec![7u8; 100].into_boxed_slice()));
    let freed = Arc::<Mutex<Vec<u8>>>::default();
    let cleanup = |freed: &Arc<Mutex<Vec<u8>>>| {
        let freed = Arc::clone(freed);
        move |memory: NonNull<[u8]>| {
            // SAFETY: leaked above, and freed here alone.
            let memory = unsafe { Box::from_raw(memory.as_ptr()) };
            freed.lock().unwrap().push(memory[0]);
        }
    };
    let confined = ConfinedArena::new(&Ledger::default()).unwrap();
    // SAFETY: nobody else has the memory.
    let mut segment = unsafe { confined.reinterpret(foreign(), cleanup(&freed)) };
    segment[0] = 1;
    confined.close().unwrap();
    let shared = SharedArena::new(&Ledger::default()).unwrap();
    // SAFETY: as above.
    let mut segment = unsafe { shared.reinterpret(foreign(), cleanup(&freed)) }.unwrap();
    segment.acquire_mut().unwrap()[0] = 2;
    shared.close().unwrap().unwrap();
    // SAFETY: as above.
    let refused = unsafe { shared.reinterpret(foreign(), cleanup(&freed)) };
    assert_eq!(refused.map(drop), Err(ArenaError::Closed));
    assert_eq!(*freed.lock().unwrap(), [1, 2, 7]);
}

#[test]
fn a_handle_that_scripts_hold_is_checked_at_each_use() {
    let ledger = Ledger::default();
    let arena = CheckedArena::new(&ledger).unwrap();
    let segment = arena.allocate(100, 1).unwrap();
    segment.set(10, 1.5f32, NATIVE).unwrap();
    let part = segment.slice(10..20).unwrap();
    assert_eq!((part.len(), part.get::<f32>(0, NATIVE)), (10, Ok(1.5)));
    let out = part.get::<f64>(4, NATIVE).unwrap_err();
    assert_eq!(out, ArenaError::OutOfRange(OutOfRange { offset: 4, len: 8, of: 10 }));
    assert!(part.slice(5..11).is_err());
    let view = part.read_only();
    assert_eq!(view.set(0, 1u8, NATIVE), Err(ArenaError::ReadOnly));
    // Overlapping handles do not write beside each other.
    segment
        .with(|_| {
            assert_eq!(part.with(<[u8]>::len), Ok(10));
            assert_eq!(part.with_mut(|_| ()), Err(ArenaError::Borrowed));
            assert_eq!(arena.close().unwrap_err(), ArenaError::Acquired { count: 1 });
        })
        .unwrap();
    segment
        .with_mut(|_| {
            assert_eq!(part.with(|_| ()), Err(ArenaError::Borrowed));
            assert_eq!(part.with_mut(|_| ()), Err(ArenaError::Borrowed));
        })
        .unwrap();
    assert_eq!(panic_of(|| segment.with(|_| panic!("inside"))), "inside");
    let (handle, other) = (segment.clone(), arena.clone());
    let wrong = thread::spawn(move || {
        assert_eq!(handle.with(|_| ()), Err(ArenaError::WrongThread));
        assert_eq!(handle.with_mut(|_| ()), Err(ArenaError::WrongThread));
        assert_eq!(other.allocate(1, 1).map(drop), Err(ArenaError::WrongThread));
        assert_eq!(other.on_close(|| ()), Err(ArenaError::WrongThread));
        other.close().unwrap_err()
    });
    assert_eq!(wrong.join().unwrap(), ArenaError::WrongThread);
    arena.close().unwrap().unwrap();
    assert!(arena.is_closed() && segment.is_closed());
    assert_eq!(part.get::<u8>(0, NATIVE), Err(ArenaError::Closed));
    assert_eq!(part.slice(..5).unwrap().set(0, 1u8, NATIVE), Err(ArenaError::Closed));
    assert_eq!(arena.allocate(1, 1).map(drop), Err(ArenaError::Closed));
    assert_eq!(arena.close().unwrap_err(), ArenaError::Closed);
    assert_eq!(charged(&ledger), 0);
    // Of a shared arena: any thread.
    let shared = SharedArena::new(&ledger).unwrap();
    let handle = shared.allocate_handle(8, 8).unwrap();
    let on_another = handle.clone();
    thread::spawn(move || on_another.set(0, 5u64, NATIVE)).join().unwrap().unwrap();
    assert_eq!(handle.get::<u64>(0, NATIVE), Ok(5));
}

#[test]
fn slices_and_prefixes_of_a_segment_are_given_out() {
    let arena = ConfinedArena::new(&Ledger::default()).unwrap();
    let slices = SlicingAllocator::new(arena.allocate(64, 64).unwrap());
    let first = slices.allocate(3, 1).unwrap();
    let second = slices.allocate(8, 8).unwrap();
    assert_eq!(second.as_ptr().addr() - first.as_ptr().addr(), 8);
    let mut list = VecIn::<u16, _>::new_in(&slices);
    list.reserve_exact(10);
    list.extend(0..10);
    assert!(list.try_reserve_exact(1000).is_err());
    assert_eq!(slices.allocate(0, 1).unwrap().len(), 0);
    assert!(matches!(slices.allocate(64, 1), Err(ArenaError::OutOfRange(_))));
    assert!(slices.allocate(usize::MAX, 1).is_err());
    assert_eq!(list[9], 9);
    let mut prefix = PrefixAllocator::new(arena.allocate(10, 16).unwrap());
    for bytes in [0, 10, 3] {
        let mut segment = prefix.allocate(bytes, 8).unwrap();
        assert_eq!((segment.len(), segment.as_ptr().addr() % 8), (bytes, 0));
        segment.fill(1);
    }
    assert!(prefix.allocate(11, 1).is_err() && prefix.allocate(usize::MAX, 1).is_err());
}

#[test]
fn an_auto_arena_is_freed_with_its_last_segment() {
    let space = manual();
    let freed = Arc::<Mutex<Vec<i32>>>::default();
    let root: GcRoot<Rootable![AutoSegment<'_>]> = space.exclusive(|cx| {
        let arena = AutoArena::new(cx).unwrap();
        for number in [1, 2] {
            let freed = Arc::clone(&freed);
            arena.on_free(move || freed.lock().unwrap().push(number));
        }
        let segment = arena.allocate(cx, 100, 8).unwrap();
        segment.set(cx, 96, 7u32, NATIVE).unwrap();
        assert!(arena.used_bytes() == 100 && charged(cx.ledger()) >= 100);
        cx.root(cx.alloc(segment.slice(90..).unwrap().read_only()))
    });
    space.collect().unwrap();
    space.exclusive(|cx| {
        let part = *root.get(cx);
        assert_eq!(
            (part.len(), part.is_empty(), part.get::<u32, _>(cx, 6, NATIVE)),
            (10, false, Ok(7))
        );
        assert_eq!(part.bytes_mut(cx).map(drop), Err(ArenaError::ReadOnly));
        assert!(part.slice(5..11).is_err() && part.get::<u64, _>(cx, 3, NATIVE).is_err());
        assert_eq!(part.bytes(cx).len(), 10);
    });
    assert!(freed.lock().unwrap().is_empty() && charged(&space.ledger()) > 0);
    drop(root);
    space.collect().unwrap();
    assert_eq!((freed.lock().unwrap().as_slice(), charged(&space.ledger())), (&[2, 1][..], 0));
}

#[test]
fn bytes_of_an_auto_arena_that_are_lent_outside_outlive_the_sweep_and_keep_writers_out() {
    within(|| {
        let space = manual();
        let (handle, root) = space.exclusive(|cx| {
            let segment = AutoArena::new(cx).unwrap().allocate(cx, 4, 1).unwrap();
            segment.bytes_mut(cx).unwrap().copy_from_slice(b"kept");
            (segment.handle(), cx.root(cx.alloc(segment)))
        });
        let (inside, wait_inside) = channel();
        let (end, wait_end) = channel::<()>();
        let borrower = {
            let handle = handle.clone();
            thread::spawn(move || {
                handle.with(|bytes| {
                    inside.send(()).unwrap();
                    wait_end.recv().unwrap_err();
                    bytes.to_vec()
                })
            })
        };
        wait_inside.recv().unwrap();
        space.exclusive(|cx| {
            let segment: AutoSegment<'_> = *root.get(cx);
            assert_eq!(segment.bytes_mut(cx).map(drop), Err(ArenaError::Borrowed));
            assert_eq!(segment.bytes(cx), b"kept");
        });
        drop(root);
        space.collect().unwrap();
        assert!(space.num_objects() == 0 && charged(&space.ledger()) > 0);
        drop(end);
        assert_eq!(borrower.join().unwrap().unwrap(), b"kept");
        assert_eq!(charged(&space.ledger()), 0);
        assert_eq!(handle.with(|_| ()), Err(ArenaError::Closed));
    });
}

#[test]
fn every_failure_of_the_system_is_an_error_and_nothing_stays_charged() {
    let space = manual();
    let ledger = space.ledger();
    type Make<'a> = &'a dyn Fn() -> Result<(), ArenaError>;
    let confined = || ConfinedArena::new(&ledger).unwrap().allocate(5000, 1).map(drop);
    let shared = || SharedArena::new(&ledger).unwrap().allocate(5000, 1).map(drop);
    let checked = || CheckedArena::new(&ledger).unwrap().allocate(5000, 1).map(drop);
    let auto = || space.exclusive(|cx| AutoArena::new(cx).unwrap().allocate(cx, 5000, 1).map(drop));
    let makes: [Make<'_>; 4] = [&confined, &shared, &checked, &auto];
    for make in makes {
        let mut failures = 0;
        for nth in 0.. {
            fault::fail_nth(Some(nth));
            let made = make();
            let is_over = fault::is_armed();
            fault::fail_nth(None);
            space.collect().unwrap();
            assert_eq!(charged(&ledger), 0);
            if is_over {
                made.unwrap();
                break;
            }
            failures += usize::from(made.is_err());
        }
        assert_eq!(failures, 1);
    }
    let full = CSpace::builder().gc(GcMode::Manual).max_heap_bytes(0).build().unwrap();
    full.exclusive(|cx| assert!(matches!(AutoArena::new(cx), Err(ArenaError::Heap(_)))));
    full.ledger().set_limit(Some(0));
    assert_eq!(full.ledger().charged(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "10,000 arenas")]
fn ten_thousand_arenas_that_nobody_has_are_freed_while_the_limit_is_a_hundredth() {
    let space = manual();
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Arenas, Some(100 * 4096));
    for _ in 0..10_000 {
        let made = space.exclusive(|cx| AutoArena::new(cx)?.allocate(cx, 4096, 1).map(drop));
        if made.is_err() {
            space.collect().unwrap();
            space.exclusive(|cx| AutoArena::new(cx)?.allocate(cx, 4096, 1).map(drop)).unwrap();
        }
    }
    assert!(ledger.account(Category::Arenas).bytes_max <= 100 * 4096);
    space.collect().unwrap();
    assert_eq!(ledger.charged(), 0);
}
