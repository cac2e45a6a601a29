//! Direct buffers and mapped files: what Java's do (SPEC.md 2.4), and what safe code cannot do with them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::sync::mpsc::channel;
use std::thread;

use cspace::*;
use cspace_native::*;

use crate::probe::manual;
use crate::watchdog::within;

type BufferRoot = GcRoot<Rootable![DirectBuffer<'_>]>;

fn rooted(space: &Space, len: usize) -> BufferRoot {
    space.exclusive(|cx| cx.root(cx.alloc(DirectBuffer::allocate(cx, len).unwrap())))
}

fn charged(space: &Space) -> (usize, usize, usize) {
    let account = space.ledger().account(Category::Buffers);
    (account.count, account.capacity, account.bytes)
}

fn page() -> usize {
    let space = manual();
    space.exclusive(|cx| _ = DirectBuffer::allocate_page_aligned(cx, 0).unwrap());
    charged(&space).2
}

#[test]
#[cfg_attr(miri, ignore = "a buffer of 1 MiB looked at byte by byte")]
fn a_buffer_is_zero_filled_whatever_its_size() {
    let space = manual();
    for len in [0, 1, 7, 4096, (1 << 20) + 3] {
        space.exclusive(|cx| {
            let buffer = DirectBuffer::allocate(cx, len).unwrap();
            assert_eq!((buffer.len(), buffer.is_empty()), (len, len == 0));
            assert!(buffer.bytes(cx).unwrap().iter().all(|byte| *byte == 0));
            buffer.bytes_mut(cx).unwrap().fill(0xff);
            buffer.free(cx).unwrap();
        });
    }
}

#[test]
fn the_limit_is_for_capacity_and_the_bytes_of_alignment_come_on_top() {
    let space = manual();
    let page = page();
    assert!(page >= 4096 && page.is_power_of_two());
    space.ledger().set_category_limit(Category::Buffers, Some(1000));
    space.exclusive(|cx| {
        let aligned = DirectBuffer::allocate_page_aligned(cx, 1000).unwrap();
        assert_eq!(aligned.bytes(cx).unwrap().as_ptr().addr() % page, 0);
        let full = DirectBuffer::allocate(cx, 1).unwrap_err();
        assert!(matches!(full, AllocateError::Memory(full) if full.limit == 1000), "{full}");
        assert_eq!(charged(&space), (1, 1000, 1000 + page));
    });
}

#[test]
fn memory_lives_until_the_last_view_dies_and_views_hold_the_root_buffer() {
    let space = manual();
    let root = rooted(&space, 100);
    let tail: BufferRoot = space.exclusive(|cx| {
        let buffer = *root.get(cx);
        buffer.bytes_mut(cx).unwrap()[60..63].copy_from_slice(b"abc");
        let tail = buffer.slice(10..).unwrap().slice(40..=59).unwrap().read_only();
        assert_eq!(tail.len(), 20);
        assert!(tail.is_of(&buffer) && tail.is_read_only() && !buffer.is_read_only());
        cx.root(cx.alloc(tail))
    });
    drop(root);
    space.collect().unwrap();
    assert_eq!(charged(&space), (1, 100, 100));
    space.shared(|cx| {
        assert_eq!(&tail.get(cx).bytes(cx).unwrap()[10..13], b"abc");
    });
    drop(tail);
    space.collect().unwrap();
    assert_eq!(charged(&space), (0, 0, 0));
}

#[test]
fn slices_are_checked() {
    let space = manual();
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 10).unwrap();
        for (range, expected) in [(0..0, 0), (10..10, 0), (0..10, 10), (3..4, 1)] {
            assert_eq!(buffer.slice(range).unwrap().len(), expected);
        }
        #[allow(clippy::reversed_empty_ranges)]
        for range in [0..11, 11..11, 5..4, 0..usize::MAX, usize::MAX..usize::MAX] {
            let refused = buffer.slice(range.clone()).unwrap_err();
            assert!(matches!(refused, BufferError::OutOfRange { of: 10, .. }), "{range:?}");
        }
        assert!(buffer.slice(..=usize::MAX).is_err());
        assert!(buffer
            .slice((std::ops::Bound::Excluded(usize::MAX), std::ops::Bound::Unbounded))
            .is_err());
        let part = buffer.slice(4..6).unwrap();
        assert!(part.slice(..3).is_err(), "what lies beside a slice is not its");
        assert!(part.get::<u32, _>(cx, 0, ByteOrder::Native).is_err());
        assert!(part.get::<u8, _>(cx, usize::MAX, ByteOrder::Native).is_err());
        assert!(part.set(cx, 1, 0u16, ByteOrder::Native).is_err());
        assert_eq!(
            part.slice(1..4).unwrap_err().to_string(),
            "3 bytes from 1 on do not lie within a buffer of 2 bytes"
        );
    });
}

#[test]
fn numbers_are_read_and_written_in_both_orders_aligned_or_not() {
    let space = manual();
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 24).unwrap();
        buffer.set(cx, 1, 0x0102_0304_u32, ByteOrder::Big).unwrap();
        assert_eq!(&buffer.bytes(cx).unwrap()[..6], [0, 1, 2, 3, 4, 0]);
        assert_eq!(buffer.get::<u16, _>(cx, 2, ByteOrder::Little).unwrap(), 0x0302);
        buffer.set(cx, 8, -1.5f64, ByteOrder::Native).unwrap();
        assert_eq!(buffer.get::<f64, _>(cx, 8, ByteOrder::Native).unwrap(), -1.5);
        buffer.set(cx, 8, u128::MAX - 1, ByteOrder::Little).unwrap();
        assert_eq!(buffer.get::<i128, _>(cx, 8, ByteOrder::Little).unwrap(), -2);
    });
}

#[test]
fn a_read_only_view_neither_writes_nor_frees() {
    let space = manual();
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 10).unwrap();
        let view = buffer.read_only().slice(1..).unwrap();
        assert_eq!(view.bytes_mut(cx).map(drop), Err(BufferError::ReadOnly));
        assert_eq!(view.set(cx, 0, 1u8, ByteOrder::Native), Err(BufferError::ReadOnly));
        assert_eq!(view.copy_from(cx, 0, &view), Err(BufferError::ReadOnly));
        assert_eq!(view.free(cx), Err(BufferError::ReadOnly));
        buffer.set(cx, 1, 7u8, ByteOrder::Native).unwrap();
        assert_eq!(view.get::<u8, _>(cx, 0, ByteOrder::Native), Ok(7));
    });
}

#[test]
fn freeing_gives_the_bytes_back_at_once_and_only_once() {
    let space = manual();
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 100).unwrap();
        let slice = buffer.slice(..50).unwrap();
        assert_eq!(slice.free(cx), Ok(100), "a view frees all of it");
        assert_eq!(cx.ledger().account(Category::Buffers).bytes, 0);
        assert_eq!(buffer.free(cx), Err(BufferError::Freed));
        assert!(buffer.is_freed(cx) && slice.is_freed(cx));
        assert_eq!(buffer.bytes(cx), Err(BufferError::Freed));
        assert_eq!(buffer.bytes_mut(cx).map(drop), Err(BufferError::Freed));
        assert_eq!(buffer.copy_from(cx, 0, &slice), Err(BufferError::Freed));
        assert_eq!(buffer.handle(cx).map(drop), Err(BufferError::Freed));
    });
    space.collect().unwrap();
    assert_eq!(charged(&space), (0, 0, 0));
}

#[test]
fn bytes_are_copied_within_a_buffer_and_between_two() {
    let space = manual();
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 8).unwrap();
        buffer.bytes_mut(cx).unwrap().copy_from_slice(b"abcdefgh");
        buffer.copy_from(cx, 2, &buffer.slice(..5).unwrap()).unwrap();
        assert_eq!(buffer.bytes(cx).unwrap(), b"ababcdeh");
        buffer.slice(1..7).unwrap().copy_from(cx, 1, &buffer.slice(4..).unwrap()).unwrap();
        assert_eq!(buffer.bytes(cx).unwrap(), b"abcdeheh");
        let other = DirectBuffer::allocate(cx, 3).unwrap();
        other.copy_from(cx, 1, &buffer.slice(..2).unwrap()).unwrap();
        assert_eq!(other.bytes(cx).unwrap(), b"\0ab");
        assert!(matches!(
            other.copy_from(cx, 2, &other.slice(..2).unwrap()),
            Err(BufferError::OutOfRange { .. })
        ));
        assert_eq!(other.bytes(cx).unwrap(), b"\0ab");
        let freed = DirectBuffer::allocate(cx, 1).unwrap();
        freed.free(cx).unwrap();
        assert_eq!(other.copy_from(cx, 0, &freed), Err(BufferError::Freed));
    });
}

#[test]
fn a_borrower_outside_keeps_the_bytes_and_keeps_writers_out() {
    within(|| {
        let space = manual();
        let root = rooted(&space, 4);
        let handle = space.exclusive(|cx| {
            let buffer = *root.get(cx);
            buffer.bytes_mut(cx).unwrap().copy_from_slice(b"kept");
            buffer.handle(cx).unwrap()
        });
        assert_eq!((handle.len(), handle.is_empty()), (4, false));
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
            let buffer = *root.get(cx);
            assert_eq!(buffer.bytes_mut(cx).map(drop), Err(BufferError::Borrowed));
            assert_eq!(buffer.bytes(cx).unwrap(), b"kept", "reading is no trouble");
            assert_eq!(handle.with(<[u8]>::len), Ok(4));
            assert_eq!(buffer.free(cx), Ok(0), "not yet");
        });
        assert_eq!(charged(&space), (1, 4, 4));
        drop(end);
        assert_eq!(borrower.join().unwrap().unwrap(), b"kept");
        assert_eq!(charged(&space), (0, 0, 0));
        assert_eq!(handle.with(|_| ()), Err(BufferError::Freed));
    });
}

#[test]
fn a_sweep_that_meets_a_borrower_leaves_the_freeing_to_it() {
    let space = manual();
    let handle = space.exclusive(|cx| DirectBuffer::allocate(cx, 4).unwrap().handle(cx).unwrap());
    handle
        .with(|bytes| {
            space.collect().unwrap();
            assert_eq!((space.num_objects(), charged(&space).0), (0, 1));
            assert_eq!(bytes, [0; 4]);
        })
        .unwrap();
    assert_eq!(charged(&space), (0, 0, 0));
}

#[test]
fn while_an_access_writes_nobody_outside_borrows() {
    let space = manual();
    space.exclusive(|cx| {
        let buffer = DirectBuffer::allocate(cx, 4).unwrap();
        let handle = buffer.handle(cx).unwrap();
        let mut bytes = buffer.bytes_mut(cx).unwrap();
        bytes[0] = 1;
        thread::scope(|threads| {
            let outside = threads.spawn(|| handle.with(|_| ()));
            assert_eq!(outside.join().unwrap(), Err(BufferError::Borrowed));
        });
        drop(bytes);
        assert_eq!(handle.with(|bytes| bytes[0]), Ok(1));
        // Forgotten, it is never given back; nobody is harmed.
        std::mem::forget(buffer.bytes_mut(cx).unwrap());
        assert_eq!(handle.with(|_| ()), Err(BufferError::Borrowed));
        assert_eq!(buffer.bytes_mut(cx).map(drop), Err(BufferError::Borrowed));
        assert_eq!(buffer.bytes(cx).unwrap()[0], 1);
    });
    space.collect().unwrap();
    assert_eq!(charged(&space), (0, 0, 0));
}

#[test]
fn a_borrower_that_panics_gives_back() {
    let space = manual();
    let root = rooted(&space, 4);
    let handle = space.exclusive(|cx| root.get(cx).handle(cx).unwrap());
    crate::watchdog::panic_of(|| handle.with(|_| panic!("in between")));
    space.exclusive(|cx| assert!(root.get(cx).bytes_mut(cx).is_ok()));
}

#[test]
#[cfg_attr(miri, ignore = "10,000 reservations")]
fn reserving_collects_and_waits_and_then_says_requested_used_and_limit() {
    let space = manual();
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Buffers, Some(100));
    // Ten thousand buffers of a hundredth of the limit each, none freed by hand.
    for _ in 0..10_000 {
        let room = Reservation::with_wait(&ledger, 1, |_| panic!("no need to wait")).unwrap();
        space.exclusive(|cx| _ = room.allocate(cx).unwrap());
    }
    assert_eq!(ledger.account(Category::Buffers).bytes_max, 100);
    space.collect().unwrap();
    let _kept = rooted(&space, 60);
    let mut waits = Vec::new();
    let full = Reservation::with_wait(&ledger, 50, |time| waits.push(time.as_millis()));
    let full = full.unwrap_err();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    assert_eq!((full.requested, full.used, full.limit), (50, 60, 100));
    assert_eq!(charged(&space), (1, 60, 60));
}

#[test]
fn a_reservation_that_is_not_used_is_given_back() {
    let space = manual();
    let room = Reservation::page_aligned(&space.ledger(), 10).unwrap();
    assert_eq!((room.len(), room.is_empty()), (10, false));
    assert_eq!(charged(&space), (1, 10, 10 + page()));
    drop(room);
    assert_eq!(charged(&space), (0, 0, 0));
}

#[test]
#[cfg_attr(miri, ignore = "asks for more memory than there is, which ends Miri")]
fn sizes_beyond_all_memory_are_errors_and_nothing_stays_charged() {
    let space = manual();
    space.exclusive(|cx| {
        for len in [usize::MAX, isize::MAX as usize, isize::MAX as usize - 4096] {
            assert!(matches!(DirectBuffer::allocate(cx, len), Err(AllocateError::System(_))));
            assert!(DirectBuffer::allocate_page_aligned(cx, len).is_err());
        }
    });
    assert_eq!((charged(&space), space.num_objects()), ((0, 0, 0), 0));
}

/// Runs `make` with each of its requests for memory failing in turn; how many there are.
fn each_failing(space: &Space, mut make: impl FnMut() -> bool) -> usize {
    for nth in 0.. {
        fault::fail_nth(Some(nth));
        let made = make();
        let was_not_reached = fault::is_armed();
        fault::fail_nth(None);
        if made {
            assert!(was_not_reached);
            return nth;
        }
        assert!(!was_not_reached, "it failed for another reason");
        let ledger = space.ledger();
        assert_eq!(ledger.charged(), 0, "after failure {nth}: {ledger}");
    }
    unreachable!()
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_failure_of_the_system_gives_the_reservation_back() {
    let space = manual();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    let mut make = || space.exclusive(|cx| DirectBuffer::allocate(cx, 100).is_ok());
    assert_eq!(each_failing(&space, &mut make), 1);
    space.collect().unwrap();
    let aligned = || space.exclusive(|cx| DirectBuffer::allocate_page_aligned(cx, 100).is_ok());
    assert_eq!(each_failing(&space, aligned), 1);
    space.collect().unwrap();
    let map = || {
        let range = MapRange::default();
        space.exclusive(|cx| MappedBuffer::map(cx, &file, MapMode::Private, range).is_ok())
    };
    assert_eq!(each_failing(&space, map), 1);
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_full_heap_gives_the_memory_back() {
    let space = CSpace::builder().gc(GcMode::Manual).max_heap_bytes(0).build().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    space.exclusive(|cx| {
        assert!(matches!(DirectBuffer::allocate(cx, 100), Err(AllocateError::Heap(_))));
        let range = MapRange::default();
        let map = MappedBuffer::map(cx, &file, MapMode::ReadOnly, range);
        assert!(matches!(map, Err(MapError::Heap(_))));
    });
    assert_eq!(space.ledger().charged(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn buffers_move_with_their_objects_into_another_space() {
    let (source, target) = (manual(), manual());
    let root = rooted(&source, 100);
    target.transfer_from(&source).unwrap();
    assert_eq!((charged(&source), charged(&target)), ((0, 0, 0), (1, 100, 100)));
    target.exclusive(|cx| assert!(root.get(cx).bytes_mut(cx).is_ok()));
    drop(root);
    target.collect().unwrap();
    assert_eq!(charged(&target), (0, 0, 0));
}

// ---- maps

fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

fn part(offset: u64, len: usize) -> MapRange {
    MapRange { offset, len: Some(len) }
}

fn content_of(mut file: File) -> Vec<u8> {
    let mut content = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut content).unwrap();
    content
}

fn read<'gc>(cx: &Exclusive<'gc>, map: &MappedBuffer<'gc>) -> Vec<u8> {
    let mut bytes = vec![0; map.len()];
    map.read_at(cx, 0, &mut bytes).unwrap();
    bytes
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn the_position_need_not_be_aligned_and_the_map_survives_closing_the_file() {
    let space = manual();
    let content: Vec<u8> = (0..20_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let file = file_of(&content);
    space.exclusive(|cx| {
        let maps: Vec<_> =
            [(0, 20_000), (1, 3), (4095, 2), (4096, 4096), (4097, 15_903), (19_999, 1)]
                .map(|(at, len)| {
                    let map =
                        MappedBuffer::map(cx, &file, MapMode::ReadOnly, part(at, len)).unwrap();
                    (at as usize, map)
                })
                .into();
        let rest =
            MappedBuffer::map(cx, &file, MapMode::ReadOnly, MapRange { offset: 100, len: None });
        assert_eq!(rest.unwrap().len(), 19_900);
        drop(file);
        for (at, map) in maps {
            assert_eq!(read(cx, &map), &content[at..at + map.len()]);
            // From every alignment, and of every length.
            for from in 0..map.len().min(17) {
                let mut bytes = [0; 29];
                let len = (map.len() - from).min(29 - from);
                map.read_at(cx, from, &mut bytes[..len]).unwrap();
                assert_eq!(bytes[..len], content[at + from..at + from + len]);
            }
            // SAFETY: nobody changes the file.
            assert_eq!(unsafe { map.bytes(cx) }.unwrap(), &content[at..at + map.len()]);
            for advice in
                [MapAdvice::Normal, MapAdvice::Random, MapAdvice::Sequential, MapAdvice::WillNeed]
            {
                map.advise(cx, advice).unwrap();
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_map_to_read_and_write_writes_the_file_and_makes_it_longer() {
    let space = manual();
    let file = file_of(b"0123456789");
    space.exclusive(|cx| {
        let map = MappedBuffer::map(cx, &file, MapMode::ReadWrite, part(5, 20)).unwrap();
        assert_eq!(read(cx, &map), b"56789\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        map.write_at(cx, 1, b"abcdefghijklmnopqr").unwrap();
        map.set(cx, 0, 0x5859_u16, ByteOrder::Big).unwrap();
        assert_eq!(map.get::<u32, _>(cx, 0, ByteOrder::Big), Ok(0x5859_6263));
        assert!(map.write_at(cx, 19, b"ab").is_err());
        map.flush(cx).unwrap();
    });
    assert_eq!(content_of(file), b"01234XYbcdefghijklmnopqr\0");
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_private_map_keeps_what_is_written_to_itself() {
    let space = manual();
    let file = file_of(b"0123456789");
    space.exclusive(|cx| {
        let map = MappedBuffer::map(cx, &file, MapMode::Private, MapRange::default()).unwrap();
        map.write_at(cx, 0, b"changed").unwrap();
        map.flush(cx).unwrap();
        assert_eq!(read(cx, &map), b"changed789");
    });
    assert_eq!(content_of(file), b"0123456789");
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_read_only_map_is_not_written() {
    let space = manual();
    let file = file_of(b"0123456789");
    space.exclusive(|cx| {
        for len in [0, 10] {
            let map = MappedBuffer::map(cx, &file, MapMode::ReadOnly, part(0, len)).unwrap();
            assert_eq!(map.mode(), MapMode::ReadOnly);
            assert_eq!(map.write_at(cx, 0, &[]), Err(BufferError::ReadOnly));
            assert_eq!(map.set(cx, 0, 1u8, ByteOrder::Native), Err(BufferError::ReadOnly));
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_map_of_no_bytes_is_valid_and_empty() {
    let space = manual();
    let file = file_of(b"");
    space.exclusive(|cx| {
        for mode in [MapMode::ReadOnly, MapMode::ReadWrite, MapMode::Private] {
            let map = MappedBuffer::map(cx, &file, mode, MapRange::default()).unwrap();
            assert!(map.is_empty());
            assert_eq!(read(cx, &map), b"");
            assert!(map.get::<u8, _>(cx, 0, ByteOrder::Native).is_err());
            map.flush(cx).unwrap();
            map.advise(cx, MapAdvice::WillNeed).unwrap();
            // SAFETY: nobody changes the file.
            assert_eq!(unsafe { map.bytes(cx) }.unwrap(), b"");
        }
    });
    assert_eq!(space.ledger().account(Category::Maps).bytes, 0);
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn what_is_no_file_or_lies_beyond_its_end_is_an_error() {
    let space = manual();
    let folder = tempfile::tempdir().unwrap();
    assert!(File::open(folder.path().join("missing")).is_err());
    let directory = File::open(folder.path()).unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"0123456789").unwrap();
    let file = File::open(&path).unwrap();
    space.exclusive(|cx| {
        let map = |file, mode, range| MappedBuffer::map(cx, file, mode, range).unwrap_err();
        let (all, read_only) = (MapRange::default(), MapMode::ReadOnly);
        assert!(matches!(map(&directory, read_only, all), MapError::NotAFile));
        for (offset, len) in
            [(0, Some(11)), (10, Some(1)), (11, Some(0)), (11, None), (u64::MAX, None)]
        {
            let refused = map(&file, read_only, MapRange { offset, len });
            assert!(matches!(refused, MapError::BeyondEnd { of: 10, .. }), "{offset} {len:?}");
        }
        assert!(matches!(map(&file, MapMode::Private, part(0, 11)), MapError::BeyondEnd { .. }));
        for (offset, len) in [(u64::MAX, 1), (0, usize::MAX), (i64::MAX as u64, 1)] {
            let refused = map(&file, MapMode::ReadWrite, part(offset, len));
            assert!(matches!(refused, MapError::TooLarge(_)), "{offset} {len}: {refused}");
        }
        // Opened to read only: the system says so.
        assert!(matches!(map(&file, MapMode::ReadWrite, all), MapError::Io(_)));
    });
    assert_eq!((space.ledger().charged(), space.num_objects()), (0, 0));
    assert_eq!(std::fs::read(path).unwrap(), b"0123456789");
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn maps_are_charged_by_pages_and_limited_by_capacity() {
    let (space, page) = (manual(), page());
    let file = file_of(&vec![1; 3 * page]);
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Maps, Some(page + 10));
    let handle = space.exclusive(|cx| {
        let map =
            MappedBuffer::map(cx, &file, MapMode::ReadOnly, part(page as u64 - 1, 2)).unwrap();
        let account = cx.ledger().account(Category::Maps);
        assert_eq!((account.count, account.capacity, account.bytes), (1, 2, 2 * page));
        let refused = MappedBuffer::map(cx, &file, MapMode::ReadOnly, part(0, page + 9));
        assert!(matches!(refused, Err(MapError::Memory(full)) if full.used == 2));
        let (handle, mut bytes) = (map.handle(cx).unwrap(), [0; 2]);
        handle.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 1]);
        handle
    });
    // Outside, what is garbage makes room.
    let map = Mapping::with_wait(&space, &file, MapMode::ReadOnly, part(0, page + 9), |_| panic!());
    let map = map.unwrap();
    assert_eq!((map.len(), ledger.account(Category::Maps).count), (page + 9, 1));
    assert_eq!(handle.read_at(0, &mut []), Err(BufferError::Freed));
    space.exclusive(|cx| {
        let map = map.into_buffer(cx).unwrap();
        map.free(cx).unwrap();
        assert_eq!(map.free(cx), Err(BufferError::Freed));
        assert_eq!(map.read_at(cx, 0, &mut []), Err(BufferError::Freed));
        assert_eq!(map.flush(cx).unwrap_err().kind(), std::io::ErrorKind::NotFound);
        assert_eq!(map.handle(cx).map(drop), Err(BufferError::Freed));
    });
    assert_eq!(ledger.charged(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn when_the_system_does_not_map_it_is_tried_once_more_after_a_collection() {
    let space = manual();
    let file = file_of(b"0123456789");
    let (mut waits, cycles) = (Vec::new(), space.total_num_completed_gcs());
    fault::fail_nth(Some(0));
    let map = Mapping::with_wait(&space, &file, MapMode::ReadOnly, MapRange::default(), |time| {
        waits.push(time.as_millis());
    });
    assert_eq!(map.unwrap().len(), 10);
    assert_eq!((waits.as_slice(), space.total_num_completed_gcs()), (&[100][..], cycles + 1));
    // Not a third time.
    let mut waits = 0;
    fault::fail_nth(Some(0));
    let refused = Mapping::with_wait(&space, &file, MapMode::ReadOnly, MapRange::default(), |_| {
        waits += 1;
        fault::fail_nth(Some(0));
    });
    assert!(matches!(refused, Err(MapError::Io(_))));
    assert_eq!((waits, space.ledger().charged()), (1, 0));
    // Not where nobody can be waited for.
    fault::fail_nth(Some(0));
    let refused = space.exclusive(|_| {
        let map = Mapping::with_wait(&space, &file, MapMode::ReadOnly, MapRange::default(), |_| {
            panic!("no waiting in an access")
        });
        map.map(drop)
    });
    assert!(matches!(refused, Err(MapError::Io(_))));
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_map_that_no_memory_could_mend_is_an_error_at_once() {
    let space = manual();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(10).unwrap();
    let open = |options: &mut OpenOptions| options.open(file.path()).unwrap();
    let read_only = open(OpenOptions::new().read(true));
    let write_only = open(OpenOptions::new().write(true));
    let longer = MapRange { offset: 0, len: Some(100_000) };
    for (file, mode, range) in [
        (&read_only, MapMode::ReadWrite, MapRange::default()),
        (&read_only, MapMode::ReadWrite, longer),
        (&write_only, MapMode::ReadOnly, MapRange::default()),
        (&write_only, MapMode::ReadWrite, longer),
    ] {
        let refused = Mapping::with_wait(&space, file, mode, range, |_| panic!("no waiting"));
        assert!(matches!(refused, Err(MapError::Io(_))), "{refused:?}");
    }
    let endless = MapRange { offset: 0, len: Some(1 << 62) };
    let refused = Mapping::new(&space, file.as_file(), MapMode::ReadWrite, endless);
    assert!(matches!(refused, Err(MapError::TooLarge(_))), "{refused:?}");
    assert_eq!(space.total_num_completed_gcs(), 0);
    assert_eq!(space.ledger().bytes_max(), 0);
    assert_eq!(file.as_file().metadata().unwrap().len(), 10, "nobody made it longer");
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn a_file_that_is_refused_by_a_limit_is_as_long_as_it_was() {
    let space = manual();
    let file = file_of(b"0123456789");
    space.ledger().set_category_limit(Category::Maps, Some(100));
    let longer = MapRange { offset: 0, len: Some(1000) };
    let refused = Mapping::with_wait(&space, &file, MapMode::ReadWrite, longer, |_| ());
    assert!(matches!(refused, Err(MapError::Memory(_))), "{refused:?}");
    assert_eq!(file.metadata().unwrap().len(), 10);
    space.ledger().set_category_limit(Category::Maps, None);
    Mapping::new(&space, &file, MapMode::ReadWrite, longer).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1000);
}

#[test]
#[cfg_attr(miri, ignore = "maps of files")]
fn maps_that_nobody_has_are_unmapped_while_the_limit_is_a_hundredth_of_all() {
    let (space, page) = (manual(), page());
    let file = file_of(&vec![1; page]);
    let ledger = space.ledger();
    ledger.set_category_limit(Category::Maps, Some(100 * page));
    for _ in 0..10_000 {
        let mode = MapMode::ReadOnly;
        let map =
            Mapping::with_wait(&space, &file, mode, part(0, page), |_| panic!("no need")).unwrap();
        space.exclusive(|cx| _ = map.into_buffer(cx).unwrap());
    }
    let account = ledger.account(Category::Maps);
    assert!(account.bytes_max <= 100 * page, "{ledger}");
    space.collect().unwrap();
    assert_eq!(ledger.charged(), 0);
}
