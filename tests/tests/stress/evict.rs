//! Evictable objects: eight threads that touch, pin, and let go, beside a collector that never rests, and merges.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{
    CSpace, CollectError, Evictable, EvictableRoot, EvictionPin, Exclusive, Gc, IObject, Rootable,
    Shared, Slot, Static,
};

use crate::exchange::Exchange;
use crate::rng::Rng;
use crate::things::{Chaos, Life};
use crate::{duration, seed, watched};

const THREADS: u64 = 8;
const PLACES: usize = 64;

#[derive(IObject)]
struct Page<'gc> {
    life: Static<Life>,
    strong: Slot<'gc, Option<Gc<'gc, Page<'gc>>>>,
    soft: Slot<'gc, Option<Evictable<'gc, Page<'gc>>>>,
}

type PageFamily = Rootable![Page<'_>];

struct Arena {
    space: CSpace,
    chaos: Arc<Chaos>,
    pages: Exchange<EvictableRoot<PageFamily>>,
    pins: Exchange<EvictionPin<PageFamily>>,
    stop: AtomicBool,
    seen_gone: AtomicUsize,
}

#[test]
fn threads_that_touch_beside_evictions_see_whole_objects_or_none() {
    let mut seed = seed("threads_that_touch_beside_evictions_see_whole_objects_or_none");
    let (mut delivered, mut gone) = (0, 0);
    watched(|| {
        let begun = Instant::now();
        while begun.elapsed() < duration() {
            seed += 1;
            let (of_round, gone_of_round) = round(seed);
            delivered += of_round;
            gone += gone_of_round;
        }
    });
    assert!(delivered > 0 && gone > 0, "{delivered} delivered, {gone} seen to be gone");
}

fn round(seed: u64) -> (usize, usize) {
    let mut rng = Rng::new(seed);
    let delivered = Arc::new(AtomicUsize::new(0));
    let space = CSpace::builder()
        .gc_period(Duration::ZERO)
        .poison_freed(true)
        .stress(rng.one_in(4))
        .eviction_threshold(rng.below(3000))
        .build()
        .expect("the settings are valid");
    let chaos = Chaos::new(seed, space.downgrade(), 0, if rng.one_in(2) { 200 } else { 0 });
    if rng.one_in(2) {
        let (life, count) = (Arc::clone(&chaos), Arc::clone(&delivered));
        space.on_evict(move |cx, object| {
            let page = object.downcast::<Page<'_>>().expect("only pages are evictable");
            page.life.assert_alive();
            let number = count.fetch_add(1, Relaxed);
            if number % 5 == 0 {
                let other = page_of(cx, &life);
                other.strong.set(cx, Some(page));
                other.soft.set(cx, Some(cx.evictable(page)));
            }
        });
    }
    let arena = Arena {
        space,
        chaos,
        pages: Exchange::new(PLACES),
        pins: Exchange::new(8),
        stop: AtomicBool::new(false),
        seen_gone: AtomicUsize::new(0),
    };
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let arena = &arena;
            threads.spawn(move || {
                let mut rng = Rng::new(seed << 8 | thread);
                while !arena.stop.load(Relaxed) {
                    arena.act(&mut rng);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(250));
        arena.stop.store(true, Relaxed);
    });
    arena.end(seed);
    (delivered.load(Relaxed), arena.seen_gone.load(Relaxed))
}

fn page_of<'gc>(cx: &Exclusive<'gc>, chaos: &Arc<Chaos>) -> Gc<'gc, Page<'gc>> {
    let life = Static(chaos.life());
    cx.alloc(Page { life, strong: Slot::new(None), soft: Slot::new(None) })
}

impl Arena {
    fn act(&self, rng: &mut Rng) {
        match rng.below(24) {
            0..=4 => {
                let place = rng.below(PLACES);
                let before = self.get(rng.below(PLACES));
                let page = self.space.exclusive(|cx| self.make(cx, rng, before));
                drop(self.pages.put(place, page));
            }
            5..=16 => {
                let pages: Vec<_> = (0..4).filter_map(|_| self.get(rng.below(PLACES))).collect();
                let pin = self.space.shared(|cx| self.read(cx, rng, &pages));
                if let Some(pin) = pin {
                    drop(self.pins.put(rng.below(8), pin));
                }
            }
            17 => drop(self.pages.take(rng.below(PLACES))),
            18..=19 => {
                if let Some(pin) = self.pins.take(rng.below(8)) {
                    self.space.shared(|cx| pin.get(cx).life.assert_alive());
                }
            }
            20 => self.space.set_eviction_threshold(rng.below(4000)),
            21 => {
                self.space.request_evict(rng.below(500));
                if rng.one_in(8) {
                    self.evict(rng.below(500));
                }
            }
            22 => {
                if rng.one_in(4) {
                    let report = self.space.verify().expect("nothing of this thread's is held");
                    assert!(report.is_clean(), "{report}");
                }
            }
            _ => {
                if rng.one_in(8) {
                    self.merge(rng);
                }
            }
        }
    }

    fn evict(&self, bytes: usize) {
        match self.space.try_evict(bytes) {
            Ok(_) | Err(CollectError::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// A copy of what is in a place.
    fn get(&self, place: usize) -> Option<EvictableRoot<PageFamily>> {
        let page = self.pages.take(place)?;
        drop(self.pages.put(place, page.clone()));
        Some(page)
    }

    fn make(
        &self,
        cx: &Exclusive<'_>,
        rng: &mut Rng,
        before: Option<EvictableRoot<PageFamily>>,
    ) -> EvictableRoot<PageFamily> {
        let page = page_of(cx, &self.chaos);
        if let Some(before) = before.and_then(|before| before.try_evictable(cx).ok()) {
            if rng.one_in(3) {
                page.strong.set(cx, before.get(cx));
            }
            page.soft.set(cx, Some(before));
        }
        let root = cx.evictable_root(page);
        root.evictable(cx).set_size_bytes(cx, rng.below(200));
        root
    }

    /// Touches pages and what they lead to, for a while, and looks again at the end of it.
    fn read(
        &self,
        cx: &Shared<'_>,
        rng: &mut Rng,
        pages: &[EvictableRoot<PageFamily>],
    ) -> Option<EvictionPin<PageFamily>> {
        let mut got = Vec::new();
        let mut pin = None;
        for page in pages {
            // Of a space that is about to be merged into this one.
            let Ok(page) = page.try_evictable(cx) else { continue };
            let mut at = Some(page);
            for _ in 0..8 {
                let Some(reference) = at else { break };
                let target = match rng.below(8) {
                    0 => reference.peek(cx),
                    1 => {
                        pin = reference.pin(cx);
                        pin.as_ref().map(|pin| pin.get(cx))
                    }
                    2 => {
                        reference.set_size_bytes(cx, rng.below(200));
                        reference.set_touched(cx).then(|| reference.get(cx).expect("just touched"))
                    }
                    _ => reference.get(cx),
                };
                let Some(target) = target else {
                    assert!(reference.is_evicted(cx) && reference.get(cx).is_none());
                    self.seen_gone.fetch_add(1, Relaxed);
                    break;
                };
                target.life.assert_alive();
                if let Some(strong) = target.strong.get(cx) {
                    strong.life.assert_alive();
                }
                got.push(target);
                at = target.soft.get(cx);
            }
        }
        if rng.one_in(4) {
            std::thread::yield_now();
        }
        got.iter().for_each(|page| page.life.assert_alive());
        pin
    }

    /// Pages of another space, with one let go of, become this one's.
    fn merge(&self, rng: &mut Rng) {
        let other =
            CSpace::builder().gc_period(Duration::ZERO).eviction_threshold(500).build().unwrap();
        for _ in 0..8 {
            let page = other.exclusive(|cx| self.make(cx, rng, None));
            drop(self.pages.put(rng.below(PLACES), page));
        }
        if rng.one_in(2) {
            other.collect().expect("nothing of this thread's is held");
        }
        self.space.transfer_from(&other).expect("both are sound");
    }

    fn end(&self, seed: u64) {
        self.chaos.calm();
        for place in 0..PLACES {
            drop(self.pages.take(place));
        }
        for place in 0..8 {
            drop(self.pins.take(place));
        }
        let begun = Instant::now();
        loop {
            self.space.synchronous_gc().expect("nothing of this thread's is held");
            if self.chaos.alive() == 0 && self.chaos.is_quiet() {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "CSPACE_STRESS_SEED={seed}: {} pages are never dropped",
                self.chaos.alive()
            );
        }
        let report = self.space.verify().expect("nothing of this thread's is held");
        assert!(report.is_clean(), "CSPACE_STRESS_SEED={seed}: {report}");
    }
}
