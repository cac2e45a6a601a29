//! A thread that waited for a cycle did whatever batches others had left for later, also those that it did not wait
//! for. A drop among them may want a space that its leaver holds, and the leaver wait for this thread: both hung.

use std::sync::mpsc::channel;
use std::thread;

use cspace::*;

use crate::probe::on_drop;
use crate::within;

#[test]
fn who_waits_for_a_cycle_does_its_batch_and_no_other() {
    within(60, || {
        let manual = || CSpace::builder().gc(GcMode::Manual).build().unwrap();
        let (waited_for, left, held) = (manual(), manual(), manual());
        let (say_left, is_left) = channel();
        let (say_collected, is_collected) = channel();
        // It leaves a batch whose drop wants what it holds, and holds that until the main thread has collected.
        let leaver = thread::spawn({
            let (left, held) = (left.clone(), held.clone());
            move || {
                let wanted = held.clone();
                let wants = on_drop(move || wanted.exclusive(|_| ()));
                left.exclusive(|cx| cx.alloc(wants).addr());
                held.exclusive(|_| {
                    assert!(left.synchronous_gc().unwrap().sweep_deferred);
                    say_left.send(()).unwrap();
                    is_collected.recv().unwrap();
                });
            }
        });
        is_left.recv().unwrap();
        // Another thread's cycle goes on until the main thread has certainly begun to wait for it.
        let (say_sweeping, is_sweeping) = channel();
        let slow = on_drop(move || {
            say_sweeping.send(()).unwrap();
            thread::sleep(std::time::Duration::from_millis(100));
        });
        waited_for.exclusive(|cx| cx.alloc(slow).addr());
        let sweeper = thread::spawn({
            let waited_for = waited_for.clone();
            move || drop(waited_for.synchronous_gc())
        });
        is_sweeping.recv().unwrap();
        waited_for.synchronous_gc().unwrap();
        say_collected.send(()).unwrap();
        leaver.join().unwrap();
        sweeper.join().unwrap();
    });
}
