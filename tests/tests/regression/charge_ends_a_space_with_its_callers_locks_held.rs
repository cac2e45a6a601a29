//! A charge that tells its space of pressure has a handle on it for a moment. If that became the last one, objects and
//! listeners were dropped inside of the charge, which whoever allocates makes with locks held: a drop that allocated
//! from the same arena waited for its own thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use cspace::collector::Collector;
use cspace::{CollectError, CollectReport, Space};
use cspace_native::SharedArena;

use crate::probe::{manual, on_drop, Drops};
use crate::watchdog::{eventually, within};

/// Has another thread drop the last handle on the space just when it is told of pressure.
#[derive(Default)]
struct EndsTheSpace(Mutex<Option<Space>>);

impl Collector for EndsTheSpace {
    fn collect(&self, _: &Space) -> Result<CollectReport, CollectError> {
        unreachable!("nobody collects")
    }
    fn at_safepoint(&self, _: &Space) {}
    fn wake(&self) {
        let last = self.0.lock().unwrap().take();
        thread::spawn(move || drop(last)).join().unwrap();
    }
}

#[test]
fn what_is_left_of_a_space_is_dropped_after_the_charge_that_ended_it() {
    within(|| {
        let collector = Arc::<EndsTheSpace>::default();
        let captured = Drops::new();
        let in_listener = captured.probe();
        let space = Space::builder()
            .collector(Arc::clone(&collector) as _)
            .on_event(move |_| _ = &in_listener)
            .build()
            .unwrap();
        let ledger = space.ledger();
        let arena = SharedArena::new(&ledger).unwrap();
        let dropped = Arc::<AtomicUsize>::default();
        let (this, is_charging) = (thread::current().id(), Arc::<AtomicBool>::default());
        let within_charge = Arc::<AtomicBool>::default();
        space.exclusive(|cx| {
            let (arena, dropped) = (arena.clone(), Arc::clone(&dropped));
            let (is_charging, within_charge) =
                (Arc::clone(&is_charging), Arc::clone(&within_charge));
            cx.alloc(on_drop(move || {
                if thread::current().id() == this && is_charging.load(SeqCst) {
                    return within_charge.store(true, SeqCst);
                }
                arena.allocate(10, 1).unwrap();
                dropped.fetch_add(1, SeqCst);
            }));
        });
        ledger.set_soft_limit(Some(ledger.bytes()));
        *collector.0.lock().unwrap() = Some(space);
        is_charging.store(true, SeqCst);
        arena.allocate(5000, 1).unwrap();
        is_charging.store(false, SeqCst);
        assert!(collector.0.lock().unwrap().is_none(), "nobody was told of pressure");
        assert!(!within_charge.load(SeqCst));
        // This thread does it when it has let go of what it holds, or the reaper before.
        manual().exclusive(|_| ());
        eventually(|| (dropped.load(SeqCst), captured.count()) == (1, 1));
        assert_eq!(arena.used_bytes(), 5010);
    });
}
