//! Memory that is not objects, beside a collector that never rests: buffers and arenas whose owners die, handles that
//! lend their bytes meanwhile, shared arenas that are closed under their users, and merges.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{CSpace, Category, CollectError, GcRoot, Ledger, Rootable};
use cspace_native::{
    ArenaError, AutoArena, AutoSegment, AutoSegmentHandle, BufferError, BufferHandle, DirectBuffer,
    SegmentHandle, SharedArena, SharedSegment,
};

use crate::exchange::Exchange;
use crate::rng::Rng;
use crate::{duration, seed, watched};

const THREADS: u64 = 8;
const PLACES: usize = 32;

type BufferRoot = GcRoot<Rootable![DirectBuffer<'_>]>;
type SegmentRoot = GcRoot<Rootable![AutoSegment<'_>]>;

struct Yard {
    spaces: [CSpace; 2],
    buffers: Exchange<BufferRoot>,
    buffer_handles: Exchange<BufferHandle>,
    segments: Exchange<SegmentRoot>,
    segment_handles: Exchange<AutoSegmentHandle>,
    /// Of no space.
    ledger: Ledger,
    arenas: Exchange<SharedArena>,
    owned: Exchange<SharedSegment>,
    checked: Exchange<SegmentHandle>,
    stop: AtomicBool,
    /// Uses of what was gone, of what was there, and closes.
    counts: [AtomicUsize; 3],
    actions: Arc<AtomicUsize>,
}

/// Bytes that are written together: all the same.
fn assert_whole(bytes: &[u8]) {
    assert!(bytes.windows(2).all(|two| two[0] == two[1]), "bytes of several writers: {bytes:?}");
}

#[test]
fn memory_beside_a_collector_that_never_rests_is_freed_once_and_not_while_it_is_used() {
    let mut seed =
        seed("memory_beside_a_collector_that_never_rests_is_freed_once_and_not_while_it_is_used");
    let mut counts = [0; 3];
    watched(|| {
        let begun = Instant::now();
        while begun.elapsed() < duration() {
            seed += 1;
            let of_round = round(seed);
            counts.iter_mut().zip(of_round).for_each(|(all, of_round)| *all += of_round);
        }
    });
    let [gone, used, closed] = counts;
    assert!(gone > 0 && used > 0 && closed > 0, "{gone} gone, {used} used, {closed} closed");
}

fn round(seed: u64) -> [usize; 3] {
    let space = || {
        let builder = CSpace::builder().gc_period(Duration::ZERO).poison_freed(true);
        builder.build().expect("the settings are valid")
    };
    let yard = Yard {
        spaces: [space(), space()],
        buffers: Exchange::new(PLACES),
        buffer_handles: Exchange::new(PLACES),
        segments: Exchange::new(PLACES),
        segment_handles: Exchange::new(PLACES),
        ledger: Ledger::default(),
        arenas: Exchange::new(8),
        owned: Exchange::new(PLACES),
        checked: Exchange::new(PLACES),
        stop: AtomicBool::new(false),
        counts: Default::default(),
        actions: Arc::default(),
    };
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let yard = &yard;
            threads.spawn(move || {
                let mut rng = Rng::new(seed << 8 | thread);
                while !yard.stop.load(Relaxed) {
                    yard.act(&mut rng);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        yard.stop.store(true, Relaxed);
    });
    let Yard { spaces, buffers, segments, ledger, arenas, owned, checked, counts, .. } = yard;
    drop((buffers, segments, owned, checked));
    for space in &spaces {
        assert!(space.verify().expect("nobody is inside").is_clean());
        // The worker may have a collection under way that has seen what was dropped just now.
        for _ in 0..2 {
            space.collect().expect("nobody is inside");
        }
    }
    let [a, b] = &spaces;
    a.transfer_from(b).expect("nobody is inside");
    a.collect().expect("nobody is inside");
    // A sweep of the worker may go on for a moment.
    let begun = Instant::now();
    while a.ledger().charged() + b.ledger().charged() > 0 {
        assert!(begun.elapsed().as_secs() < 30, "{}\n{}", a.ledger(), b.ledger());
        std::thread::yield_now();
    }
    drop(arenas);
    assert_eq!(ledger.account(Category::Arenas).count, 0);
    counts.map(AtomicUsize::into_inner)
}

impl Yard {
    fn note(&self, used: bool) {
        self.counts[usize::from(used)].fetch_add(1, Relaxed);
    }

    fn act(&self, rng: &mut Rng) {
        let space = &self.spaces[rng.below(2)];
        match rng.below(12) {
            0 => {
                let len = rng.below(200);
                space.exclusive(|cx| {
                    let buffer = DirectBuffer::allocate(cx, len).expect("there is no limit");
                    let byte = rng.below(200) as u8;
                    buffer.bytes_mut(cx).expect("nobody else has it").fill(byte);
                    let handle = buffer.handle(cx).expect("it is there");
                    self.buffer_handles.put(rng.below(PLACES), handle);
                    let root = cx.root(cx.alloc(buffer));
                    self.buffers.put(rng.below(PLACES), root);
                });
            }
            1 => drop(self.buffers.take(rng.below(PLACES))),
            2 => {
                let Some(root) = self.buffers.take(rng.below(PLACES)) else { return };
                space.exclusive(|cx| {
                    // Of this space or of the other.
                    let Ok(buffer) = root.try_get(cx) else { return };
                    let buffer = *buffer;
                    if rng.one_in(4) {
                        let freed = buffer.free(cx);
                        assert!(matches!(freed, Ok(_) | Err(BufferError::Freed)), "{freed:?}");
                        return;
                    }
                    match buffer.bytes_mut(cx) {
                        Ok(mut bytes) => bytes.fill(rng.below(200) as u8),
                        Err(BufferError::Borrowed | BufferError::Freed) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
                self.buffers.put(rng.below(PLACES), root);
            }
            3 => {
                let Some(handle) = self.buffer_handles.take(rng.below(PLACES)) else { return };
                match handle.with(assert_whole) {
                    Ok(()) => self.note(true),
                    Err(BufferError::Freed) => return self.note(false),
                    Err(BufferError::Borrowed) => {}
                    Err(error) => panic!("{error}"),
                }
                self.buffer_handles.put(rng.below(PLACES), handle);
            }
            4 => {
                let len = 1 + rng.below(100);
                space.exclusive(|cx| {
                    let arena = AutoArena::new(cx).expect("there is no limit");
                    let segment = arena.allocate(cx, len, 8).expect("there is no limit");
                    self.segment_handles.put(rng.below(PLACES), segment.handle());
                    let root = cx.root(cx.alloc(segment));
                    self.segments.put(rng.below(PLACES), root);
                });
            }
            5 => {
                let Some(root) = self.segments.take(rng.below(PLACES)) else { return };
                if rng.one_in(2) {
                    return;
                }
                space.exclusive(|cx| {
                    let Ok(segment) = root.try_get(cx) else { return };
                    let segment = *segment;
                    assert_whole(segment.bytes(cx));
                    match segment.bytes_mut(cx) {
                        Ok(mut bytes) => bytes.fill(rng.below(200) as u8),
                        Err(ArenaError::Borrowed) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
                self.segments.put(rng.below(PLACES), root);
            }
            6 => {
                let Some(handle) = self.segment_handles.take(rng.below(PLACES)) else { return };
                match handle.with(assert_whole) {
                    Ok(()) => self.note(true),
                    Err(ArenaError::Closed) => return self.note(false),
                    Err(ArenaError::Borrowed) => {}
                    Err(error) => panic!("{error}"),
                }
                self.segment_handles.put(rng.below(PLACES), handle);
            }
            7 => {
                let arena = SharedArena::new(&self.ledger).expect("there is no limit");
                let actions = Arc::clone(&self.actions);
                arena.on_close(move || _ = actions.fetch_add(1, Relaxed));
                for _ in 0..4 {
                    let segment = arena.allocate(rng.below(100), 4).expect("it is open");
                    self.owned.put(rng.below(PLACES), segment);
                    let handle = arena.allocate_handle(rng.below(100), 4).expect("it is open");
                    self.checked.put(rng.below(PLACES), handle.clone());
                    self.checked.put(rng.below(PLACES), handle);
                }
                self.arenas.put(rng.below(8), arena);
            }
            8 => {
                let Some(arena) = self.arenas.take(rng.below(8)) else { return };
                match arena.close() {
                    Ok(actions) => {
                        actions.expect("they do not panic");
                        self.counts[2].fetch_add(1, Relaxed);
                    }
                    Err(ArenaError::Acquired { count }) => {
                        assert!(count <= THREADS as usize);
                        self.arenas.put(rng.below(8), arena);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            9 => {
                let Some(mut segment) = self.owned.take(rng.below(PLACES)) else { return };
                let byte = rng.below(200) as u8;
                let used = segment.acquire_mut().map(|mut bytes| bytes.fill(byte)).is_ok();
                self.note(used);
                if used {
                    let _ = segment.with(assert_whole);
                    self.owned.put(rng.below(PLACES), segment);
                }
            }
            10 => {
                let Some(handle) = self.checked.take(rng.below(PLACES)) else { return };
                let byte = rng.below(200) as u8;
                let used = match rng.one_in(2) {
                    true => handle.with(assert_whole),
                    false => handle.with_mut(|bytes| bytes.fill(byte)),
                };
                match used {
                    Ok(()) => self.note(true),
                    Err(ArenaError::Closed) => return self.note(false),
                    Err(ArenaError::Borrowed) => {}
                    Err(error) => panic!("{error}"),
                }
                self.checked.put(rng.below(PLACES), handle);
            }
            _ => {
                if rng.one_in(4) {
                    let [a, b] = &self.spaces;
                    let (into, from) = if rng.one_in(2) { (a, b) } else { (b, a) };
                    into.transfer_from(from).expect("there is no limit, and nobody panics");
                    return;
                }
                let collected = space.collect();
                let is_fine = matches!(
                    collected,
                    Ok(_) | Err(CollectError::Transferred { .. } | CollectError::Busy { .. })
                );
                assert!(is_fine, "{collected:?}");
            }
        }
    }
}
