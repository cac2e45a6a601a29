//! Spaces that come and go while other threads have handles on them and on their objects.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cspace::{CSpace, CollectError, GcCell, LockError, NanBox, RootStack, Slot, Static, WeakSet};

use crate::exchange::Exchange;
use crate::one_space::wait_until_gone;
use crate::rng::Rng;
use crate::things::*;
use crate::{duration, seed, watched};

const THREADS: u64 = 4;
const PLACES: usize = 4;

struct Arena {
    older: CSpace,
    chaos: Arc<Chaos>,
    spaces: Exchange<CSpace>,
    roots: Exchange<NodeRoot>,
    machines: Exchange<OwnedMachine>,
    stop: AtomicBool,
}

#[test]
fn spaces_may_go_while_anybody_has_handles() {
    let mut seed = seed("spaces_may_go_while_anybody_has_handles");
    watched(|| {
        let begun = Instant::now();
        while begun.elapsed() < duration() {
            seed += 1;
            round(seed);
        }
    });
}

fn round(seed: u64) {
    let older = CSpace::new();
    let chaos = Chaos::new(seed, older.downgrade(), 0, 300);
    let arena = Arena {
        older,
        chaos,
        spaces: Exchange::new(PLACES),
        roots: Exchange::new(16),
        machines: Exchange::new(8),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let arena = &arena;
            threads.spawn(move || {
                let mut rng = Rng::new(seed << 8 | thread);
                while !arena.stop.load(Relaxed) {
                    // The drop of an owned value whose space is gone runs on the thread that drops the
                    // handle, and so does its panic.
                    let acted = catch_unwind(AssertUnwindSafe(|| arena.act(&mut rng)));
                    acted.unwrap_or_else(|panic| {
                        if panic.downcast_ref() != Some(&DROP_PANICS) {
                            resume_unwind(panic);
                        }
                    });
                }
            });
        }
        std::thread::sleep(Duration::from_millis(150));
        arena.stop.store(true, Relaxed);
    });
    arena.chaos.calm();
    let Arena { older, chaos, spaces, roots, machines, .. } = arena;
    match seed % 3 {
        0 => drop((spaces, roots, machines)),
        1 => drop((roots, machines, spaces)),
        _ => older.exclusive(|_| drop((spaces, machines, roots))),
    }
    older.synchronous_gc().expect("visits are calm");
    wait_until_gone(&older, &chaos);
}

impl Arena {
    fn act(&self, rng: &mut Rng) {
        match rng.below(12) {
            0 => {
                let space = CSpace::builder()
                    .gc_budget_floor(1 << (12 + rng.below(4)))
                    .poison_freed(true)
                    .stress(rng.one_in(6))
                    .build()
                    .expect("the settings are valid");
                self.spaces.put(rng.below(PLACES), space);
            }
            1..=4 => {
                if let Some(space) = self.spaces.take(rng.below(PLACES)) {
                    if rng.one_in(3) {
                        self.spaces.put(rng.below(PLACES), space.clone());
                    }
                    self.fill(&space, rng);
                    if rng.one_in(3) {
                        self.collect(&space);
                    }
                    if !rng.one_in(4) {
                        self.spaces.put(rng.below(PLACES), space);
                    }
                }
            }
            5 => drop(self.roots.take(rng.below(16))),
            6 => drop(self.machines.take(rng.below(8))),
            7 => {
                let (root, space) =
                    (self.roots.take(rng.below(16)), self.spaces.take(rng.below(PLACES)));
                if let (Some(root), Some(space)) = (root, space) {
                    space.shared(|cx| {
                        // Of this space or of another.
                        if let Ok(node) = root.try_get(cx) {
                            assert_whole(cx, node);
                        }
                    });
                    self.roots.put(rng.below(16), root.clone());
                    self.spaces.put(rng.below(PLACES), space);
                }
            }
            8 => {
                // The last handle may go on a thread that is inside of another space, its sweep waiting.
                if let Some(space) = self.spaces.take(rng.below(PLACES)) {
                    let held = self.older.try_exclusive(|cx| {
                        cx.alloc(Static(self.chaos.life()));
                        self.collect(&space);
                        drop(space);
                    });
                    assert!(matches!(held, Ok(()) | Err(LockError::WouldBlock { .. })), "{held:?}");
                }
            }
            9 => {
                if let Some(space) = self.spaces.take(rng.below(PLACES)) {
                    let _ = space.destroy().map_err(|space| self.spaces.put(0, space));
                }
            }
            10 => self.collect(&self.older),
            _ => {
                // A space with a root of its own inside, and one of another.
                if let Some(space) = self.spaces.take(rng.below(PLACES)) {
                    let foreign = self.roots.take(rng.below(16));
                    space.exclusive(|cx| {
                        cx.alloc(Static((foreign, self.chaos.life())));
                        let node = node(cx, &self.chaos, None);
                        cx.alloc((Static(cx.root(node)), node));
                    });
                    self.spaces.put(rng.below(PLACES), space);
                }
            }
        }
    }

    fn collect(&self, space: &CSpace) {
        match space.synchronous_gc() {
            Ok(_) | Err(CollectError::Busy { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn fill(&self, space: &CSpace, rng: &mut Rng) {
        let mut guard = space.lock();
        let machine = guard.scope(|cx| {
            let (mut last, mut machine) = (None, None);
            for _ in 0..rng.below(60) {
                last = Some(node(cx, &self.chaos, last));
            }
            if let Some(last) = last {
                last.other.set(cx, NanBox::from_gc(row(cx, &self.chaos, 5, Some(last))));
                self.roots.put(rng.below(16), cx.root(last));
                if rng.one_in(3) {
                    machine = Some(cx.own_root(Machine {
                        life: Static(self.chaos.life()),
                        things: vec![last],
                        stack: RootStack::new(STACK, NanBox::NIL),
                        weaks: vec![cx.downgrade(last)],
                        names: WeakSet::new(),
                    }));
                }
            }
            cx.alloc(Directory {
                lists: std::array::from_fn(|_| Slot::new(last)),
                names: GcCell::new(WeakSet::new()),
                kept: GcCell::new(Vec::new()),
            });
            machine
        });
        guard.safepoint();
        drop(guard);
        // What was there goes outside of the access: its drop may panic.
        if let Some(machine) = machine {
            self.machines.put(rng.below(8), machine);
        }
    }
}
