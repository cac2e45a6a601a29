//! A thread that only charges memory may be the last to let go of a space, for a moment in each charge. What was left of the
//! space was left to that thread, for when it leaves an access, and it never enters one: cleaners never ran.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cspace::*;

use crate::within;

#[test]
#[cfg_attr(miri, ignore = "300 rounds beside a thread that never rests")]
fn what_is_left_of_a_space_is_done_though_its_last_thread_enters_none() {
    within(60, || {
        let current: Arc<Mutex<Option<Ledger>>> = Arc::default();
        let done = Arc::new(AtomicBool::new(false));
        let charger = {
            let (current, done) = (Arc::clone(&current), Arc::clone(&done));
            std::thread::spawn(move || {
                while !done.load(SeqCst) {
                    let ledger = current.lock().unwrap().clone();
                    if let Some(ledger) = ledger {
                        for _ in 0..100 {
                            let _ = ledger.try_charge(Category::Buffers, 1000);
                        }
                    }
                }
            })
        };
        for _ in 0..300 {
            let builder = CSpace::builder().gc(GcMode::Manual).memory_limit(100_000);
            let space = builder.build().unwrap();
            let (clean, is_clean) = channel();
            space.exclusive(|cx| {
                cx.register_cleaner(cx.alloc(1u64), move || _ = clean.send(()));
            });
            let full = space.ledger().try_charge(Category::External, 95_500).unwrap();
            *current.lock().unwrap() = Some(space.ledger());
            // Now and then the charging thread is in the middle of one.
            std::thread::sleep(Duration::from_micros(100));
            drop(space);
            is_clean.recv_timeout(Duration::from_secs(30)).expect("the cleaner never ran");
            drop(full);
        }
        done.store(true, SeqCst);
        charger.join().unwrap();
    });
}
